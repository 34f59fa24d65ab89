"""How far a sender has come on one partition, as a committed offset and its metadata (`docs/sender.md`)."""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2

METADATA_LIMIT = 4_096
"""Characters of metadata that the broker keeps with an offset."""

_VERSION = "1"
_LENGTH_FIXED = 220
_BITS_TO_CHARACTERS = 1.35 / 6


class PositionError(ValueError):
    """A position that cannot be read or would not fit: which, and what to do."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a partition stands; offsets throughout.

    `offset` is the first job without an outcome and what the group commits. Of the jobs before `end`, those in
    `pending` (ascending, the first is `offset`) have no outcome and all others have one; from `end` on none has.
    Without pending jobs `offset` is `end`. A job below `horizon` without an outcome may have been written to an SMSC.
    `owner` is the transactional id of who may be writing, empty after a clean release.
    """

    offset: int
    end: int
    pending: tuple[int, ...]
    horizon: int
    owner: str = ""


def fresh_position(offset: int) -> Position:
    """The position of a partition on which nobody has worked yet."""
    return Position(offset, offset, (), offset)


def cut_to_beginning(position: Position, beginning: int) -> Position:
    """What is left of a position where the log begins at `beginning`: jobs before that are gone.

    The position itself if none of its jobs is gone.
    """
    if position.offset >= beginning:
        return position
    pending = tuple(offset for offset in position.pending if offset >= beginning)
    end = max(position.end, beginning)
    first = pending[0] if pending else end
    return Position(first, end, pending, max(position.horizon, first), position.owner)


def cut_to_end(position: Position, log_end: int) -> Position:
    """What is left of a position where the log ends at `log_end`: jobs that come there are new, not done.

    The horizon stays, so that new jobs below it are marked: nobody can say whether they were there before.
    """
    if position.end <= log_end:
        return position
    pending = tuple(offset for offset in position.pending if offset < log_end)
    return Position(pending[0] if pending else log_end, log_end, pending, position.horizon, position.owner)


def write_metadata(position: Position) -> str:
    """The metadata to commit with `position.offset`; PositionError beyond 4,096 characters."""
    pending = base64.b64encode(_pack(position.pending)).decode() if position.pending else "-"
    horizon = position.horizon - position.offset
    text = f"{_VERSION} {position.end - position.offset} {horizon} {pending} {position.owner}"
    if len(text) > METADATA_LIMIT:
        raise PositionError(
            f"position has {len(text)} characters of metadata, at most {METADATA_LIMIT}: "
            f"{len(position.pending)} jobs without an outcome; lower in_doubt_limit"
        )
    return text


def read_position(offset: int, metadata: str) -> Position:
    """What `write_metadata` wrote; an offset without metadata was set by hand and has nothing in doubt.

    PositionError for anything else: going on without it could double messages.
    """
    if not metadata:
        return fresh_position(offset)
    try:
        version, end, horizon, packed, owner = metadata.split(" ", 4)
        if version != _VERSION:
            raise ValueError(f"version {version}")
        pending = () if packed == "-" else _unpack(base64.b64decode(packed, validate=True), offset)
        return Position(offset, offset + int(end), pending, offset + int(horizon), owner)
    except (ValueError, zlib.error) as error:
        raise PositionError(
            f"position at offset {offset} has metadata {metadata[:40]!r} that this version cannot read ({error}); "
            "start the version that wrote it, or set the group's offset by hand and accept doubled messages"
        ) from None


def longest_metadata(count: int, span: int, owner: str) -> int:
    """An upper bound of the metadata's length for `count` pending jobs within `span` offsets, without encoding them.

    Offsets spread at random need log2(span/count) + log2(e) bits each; deflate over byte-wise deltas comes within a
    third of that (a property test holds it).
    """
    if count < 2 or span < 2:
        return _LENGTH_FIXED + len(owner)
    bits = count * (log2(max(span / count, 1.0)) + 1.4427)
    return int(_LENGTH_FIXED + len(owner) + bits * _BITS_TO_CHARACTERS)


def _pack(pending: Sequence[int]) -> bytes:
    # Jobs answered in order leave runs of neighbours: as gaps they are zeros, which deflate to nothing.
    gaps = [later - earlier - 1 for earlier, later in pairwise(pending)]
    return zlib.compress(_write_varints(gaps), 6, -15)


def _unpack(packed: bytes, first: int) -> tuple[int, ...]:
    offsets = [first]
    for gap in _read_varints(zlib.decompress(packed, -15)):
        offsets.append(offsets[-1] + gap + 1)
    return tuple(offsets)


def _write_varints(numbers: Sequence[int]) -> bytes:
    if not numbers or max(numbers) < 0x80:
        return bytes(numbers)
    out = bytearray()
    for number in numbers:
        while number >= 0x80:
            out.append(number & 0x7F | 0x80)
            number >>= 7  # noqa: PLW2901 - the loop consumes it
        out.append(number)
    return bytes(out)


def _read_varints(data: bytes) -> list[int]:
    numbers = []
    number = shift = 0
    for octet in data:
        number |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            numbers.append(number)
            number = shift = 0
    if shift:
        raise ValueError("cut short")
    return numbers
