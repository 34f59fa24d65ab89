"""Messages are made once, and so is the finding that a text has none."""

from typing import Any

import msgspec
import pytest

from broadcast.sending.messages import MessageCache, MessageError
from broadcast.text import split as split_text
from schemas.control import Control, Variant
from schemas.lane import Lane

ALERT = "6f1c9f3e-3c0b-5a55-9b3d-0c2f6f3f7a10"
LONG = Control(ALERT, Lane.ROUTINE, "Actual", 1, (Variant("en", "x" * 100_000), Variant("de", "Water.")))


@pytest.fixture
def splits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were split."""
    found: list[str] = []

    def count(text: str, **options: Any) -> Any:
        found.append(text)
        return split_text(text, **options)

    monkeypatch.setattr("broadcast.sending.messages.split", count)
    return found


def test_a_text_that_is_too_long_to_send_is_split_once_for_all_its_jobs(splits: list[str]) -> None:
    cache = MessageCache(6)
    for _ in range(100):
        with pytest.raises(MessageError, match="segments"):
            cache.find(LONG, 0, "", ())
    assert len(splits) == 1
    cache.find(LONG, 1, "", ())


def test_a_control_record_that_changes_is_looked_at_anew(splits: list[str]) -> None:
    cache = MessageCache(6)
    with pytest.raises(MessageError):
        cache.find(LONG, 0, "", ())
    shorter = msgspec.structs.replace(LONG, variants=(Variant("en", "Water."),))
    assert cache.find(shorter, 0, "", ()).total == 1
    assert len(splits) == 2
