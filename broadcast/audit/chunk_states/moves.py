"""Recipients that a transaction moved from one state to another, added up for each alert and each chunk. Pure."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from broadcast.audit.codes import POSSIBLE_DUPLICATES, QUEUED

Moves: TypeAlias = dict[tuple[str, int, int], list[int]]
"""Recipient ids by alert id, code of the state before, and code of the state after. Nobody is counted as queued: that
is what the others leave of the audience."""

CHANGES: Final = 101
"""In `chunk_counters.state`: how many transactions changed the chunk. Not a state, so not part of the sum."""

NO_CHUNK: Final = -1
"""The chunk of a recipient whose audience is not stored (yet)."""


def merge_moves(several: Iterable[Moves]) -> Moves:
    """All of them as one; the given ones stay as they are."""
    merged: Moves = {}
    for moves in several:
        for kind, recipients in moves.items():
            merged.setdefault(kind, []).extend(recipients)
    return merged


def add_up(moves: Moves) -> Counter[tuple[str, int]]:
    """How many recipients more or fewer are in each state, by alert id and code of the state."""
    deltas: Counter[tuple[str, int]] = Counter()
    for (alert_id, before, after), recipients in moves.items():
        deltas[alert_id, before] -= len(recipients)
        deltas[alert_id, after] += len(recipients)
    return Counter({key: count for key, count in deltas.items() if count and key[1] != QUEUED})


def add_up_by_chunk(moves: Moves, ends: Mapping[str, Sequence[int]]) -> Counter[tuple[str, int, int]]:
    """The same by alert id, chunk and code of the state.

    `ends` are the last ids of an alert's chunks, ascending. Each chunk that is named has `CHANGES` too, even if its
    numbers stay the same.
    """
    deltas: Counter[tuple[str, int, int]] = Counter()
    for (alert_id, before, after), recipients in moves.items():
        if POSSIBLE_DUPLICATES in {before, after}:
            continue
        for chunk, count in _split(recipients, ends.get(alert_id, ())):
            deltas[alert_id, chunk, before] -= count
            deltas[alert_id, chunk, after] += count
            deltas[alert_id, chunk, CHANGES] = 1
    return Counter({key: count for key, count in deltas.items() if count and key[2] != QUEUED})


def _split(recipients: Iterable[int], ends: Sequence[int]) -> Iterator[tuple[int, int]]:
    """How many of the recipients are in each chunk. Who is behind the last one counts with it."""
    ordered = sorted(recipients)
    if not ends:
        yield NO_CHUNK, len(ordered)
        return
    at, last = 0, len(ends) - 1
    while at < len(ordered):
        chunk = min(last, bisect_left(ends, ordered[at]))
        end = len(ordered) if chunk == last else bisect_right(ordered, ends[chunk], at)
        yield chunk, end - at
        at = end
