"""What stands on the topic of dead letters: letters, and notes of what was decided about them. Pure."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from schemas.deadletter import DeadLetter

REPLAYED_HEADER: Final = "tocsin_replay_of"
"""On the note that a replay leaves among the dead letters: the offset of the one that was put back."""

DISMISSED_HEADER: Final = "tocsin_dismissal_of"
"""On the note that a dismissal leaves: the offset of the one that nobody need look at again."""

OFFSET_DIGITS: Final = 19
"""Of the largest offset; a longer number in a header is no offset, and Python refuses to read one of 5,000 digits."""

_FLAGS: Final = {REPLAYED_HEADER: 1, DISMISSED_HEADER: 2}

_decoder = msgspec.json.Decoder(DeadLetter)


@dataclass(frozen=True, slots=True)
class Found:
    """One dead letter with its offset; `replayed` once it was put back, `dismissed` once it was laid aside."""

    offset: int
    letter: DeadLetter
    replayed: bool = False
    dismissed: bool = False


def is_note(record: Any) -> bool:
    """Whether a record is a note, and no letter."""
    return any(header in _FLAGS for header, _ in record.headers)


def noted_offset(record: Any) -> int | None:
    """The offset of the letter that a note is about; None if it names none before itself."""
    for header, mark in record.headers:
        if header in _FLAGS and mark and mark.isdigit() and len(mark) <= OFFSET_DIGITS and int(mark) < record.offset:
            return int(mark)
    return None


def read_letter(record: Any, marks: "Marks | None" = None) -> Found:
    """The letter of a record; of one that is none, a letter that says so."""
    value = record.value or b""
    try:
        letter = _decoder.decode(value)
    except (msgspec.MsgspecError, RecursionError) as error:
        letter = DeadLetter(record.topic, 0, record.offset, "", f"not a dead letter: {error}", 0, value=value)
    flags = 0 if marks is None else marks.flags_of(record.offset)
    return Found(record.offset, letter, replayed=bool(flags & 1), dismissed=bool(flags & 2))


class Marks:
    """What was decided about the letters from offset `begin` to before `end`: one byte for each, nothing else."""

    def __init__(self, begin: int, end: int) -> None:
        self._begin: Final = begin
        self._flags: Final = bytearray(max(0, end - begin))

    def note(self, record: Any) -> None:
        """Take in a record; only notes change anything."""
        offset = noted_offset(record) if record.headers else None
        if offset is not None and 0 <= offset - self._begin < len(self._flags):
            for header, _ in record.headers:
                self._flags[offset - self._begin] |= _FLAGS.get(header, 0)

    def flags_of(self, offset: int) -> int:
        """1 for replayed, 2 for dismissed."""
        place = offset - self._begin
        return self._flags[place] if 0 <= place < len(self._flags) else 0
