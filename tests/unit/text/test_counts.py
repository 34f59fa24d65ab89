"""Numbers of things, as they stand in what people read."""

import pytest

from broadcast.text.counts import counted


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 receipts"), (1, "1 receipt"), (2, "2 receipts"), (1_200, "1,200 receipts")]
)
def test_one_thing_has_no_s(number: int, words: str) -> None:
    assert counted(number, "receipt") == words


def test_the_verb_fits_the_number() -> None:
    assert counted(1, "receipt", "names", "name") + " nothing" == "1 receipt names nothing"
    assert counted(2, "receipt", "names", "name") + " nothing" == "2 receipts name nothing"
