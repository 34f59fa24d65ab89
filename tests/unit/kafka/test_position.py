"""The sender's position as metadata: whatever was written is read back, and its size is known beforehand."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.kafka.position import (
    METADATA_LIMIT,
    Position,
    PositionError,
    cut_to_beginning,
    cut_to_end,
    fresh_position,
    longest_metadata,
    read_position,
    write_metadata,
)

OWNER = "broadcast.sender.simulated.host-1"


@st.composite
def positions(draw: st.DrawFn) -> Position:
    start = draw(st.integers(0, 2**40))
    gaps = draw(st.lists(st.integers(1, 100_000), max_size=300))
    pending = [start]
    for gap in gaps:
        pending.append(pending[-1] + gap)
    end = pending[-1] + draw(st.integers(1, 10_000))
    horizon = start + draw(st.integers(0, 200_000))
    owner = draw(st.sampled_from(["", OWNER, "with space.x"]))
    if draw(st.booleans()):
        return Position(end, end, (), horizon, owner)
    return Position(start, end, tuple(pending), horizon, owner)


@given(positions(), st.integers(-1_000, 3_000_000))
def test_a_log_that_begins_later_leaves_its_own_jobs_and_their_marks(position: Position, ahead: int) -> None:
    beginning = max(0, position.offset + ahead)
    left = cut_to_beginning(position, beginning)
    assert left.offset >= beginning
    assert left.pending == tuple(offset for offset in position.pending if offset >= beginning)
    assert left.offset == (left.pending[0] if left.pending else left.end)
    assert left.end >= position.end
    assert left.horizon >= position.horizon
    assert (left is position) == (position.offset >= beginning)


@given(positions(), st.integers(-1_000, 3_000_000))
def test_a_log_that_ends_earlier_leaves_its_own_jobs_and_keeps_the_marks(position: Position, ahead: int) -> None:
    log_end = max(0, position.offset + ahead)
    left = cut_to_end(position, log_end)
    assert left.end == min(position.end, log_end)
    assert left.pending == tuple(offset for offset in position.pending if offset < log_end)
    assert left.offset == (left.pending[0] if left.pending else left.end)
    assert (left.horizon, left.owner) == (position.horizon, position.owner)


@given(positions())
def test_what_was_written_is_read_back(position: Position) -> None:
    assert read_position(position.offset, write_metadata(position)) == position


def test_an_offset_that_was_set_by_hand_has_nothing_in_doubt() -> None:
    assert read_position(7, "") == fresh_position(7) == Position(7, 7, (), 7, "")


@pytest.mark.parametrize("metadata", ["x", "2 0 0 - me", "1 0 0 %%% me", "1 a 0 - me", "1 5 5 AAAA", "1 5 9 /w== me"])
def test_metadata_of_another_kind_stops_the_sender(metadata: str) -> None:
    with pytest.raises(PositionError, match="cannot read"):
        read_position(5, metadata)


@given(st.integers(2, 3_000), st.integers(0, 22), st.integers(0, 2**32), st.booleans())
def test_the_bound_holds_for_jobs_left_over_anywhere(count: int, spread: int, seed: int, clustered: bool) -> None:
    span = max(count + 1, min(2**21, count << spread))
    random_ = random.Random(seed)
    if clustered:
        middle = span // 2
        chosen = {min(span - 1, max(0, int(random_.gauss(middle, span / 20)))) for _ in range(count)}
    else:
        chosen = set(random_.sample(range(span), count))
    pending = tuple(sorted(chosen))
    position = Position(pending[0], span, pending, span + 5_000, OWNER)
    bound = longest_metadata(len(pending), span, OWNER)
    if bound < METADATA_LIMIT:
        assert len(write_metadata(position)) <= bound


def test_two_thousand_of_sixty_thousand_fit() -> None:
    pending = tuple(sorted(random.Random(1).sample(range(60_000), 2_000)))
    assert len(write_metadata(Position(pending[0], 60_000, pending, 61_000, OWNER))) < 2_500
    assert longest_metadata(2_000, 60_000, OWNER) < METADATA_LIMIT


def test_a_position_that_does_not_fit_is_an_error_and_not_cut() -> None:
    pending = tuple(sorted(random.Random(1).sample(range(5_000_000), 5_000)))
    with pytest.raises(PositionError, match="in_doubt_limit"):
        write_metadata(Position(pending[0], 5_000_000, pending, 5_000_000, OWNER))
