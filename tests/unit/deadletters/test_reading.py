"""What is read of the topic of dead letters, whatever anybody wrote on it."""

from types import SimpleNamespace

import msgspec
import pytest

from broadcast.deadletters.reading import DISMISSED_HEADER, REPLAYED_HEADER, Found, _apply
from schemas.deadletter import DeadLetter

LETTER = DeadLetter("jobs", 0, 5, "sender", "no job", 0)


def apply(letters: dict[int, Found], offset: int, value: bytes, **headers: bytes | None) -> None:
    _apply(letters, SimpleNamespace(topic="deadletters", offset=offset, headers=list(headers.items()), value=value))


@pytest.mark.parametrize("header", [REPLAYED_HEADER, DISMISSED_HEADER])
@pytest.mark.parametrize("mark", [b"9" * 5_000, b"\xff\xfe", b"-1", b"", None, b"8"])
def test_a_note_about_no_letter_changes_nothing(header: str, mark: bytes | None) -> None:
    letters: dict[int, Found] = {}
    apply(letters, 7, msgspec.json.encode(LETTER))
    apply(letters, 9, b"null", **{header: mark})
    assert [found.open for found in letters.values()] == [True]


def test_a_note_about_a_letter_closes_it() -> None:
    letters: dict[int, Found] = {}
    apply(letters, 7, msgspec.json.encode(LETTER))
    apply(letters, 9, b"null", **{REPLAYED_HEADER: b"7"})
    assert letters[7].replayed
