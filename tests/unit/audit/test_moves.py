"""Moves between states, added up for alerts and chunks: the same sums, and each recipient in its chunk."""

from bisect import bisect_left
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from broadcast.audit.chunk_states.moves import CHANGES, NO_CHUNK, Moves, add_up, add_up_by_chunk, merge_moves
from broadcast.audit.codes import POSSIBLE_DUPLICATES, QUEUED

CODES = st.sampled_from([QUEUED, 1, 2, 3, 9])
IDS = st.lists(st.integers(-50, 50), min_size=1, max_size=20)
MOVES = st.dictionaries(st.tuples(st.sampled_from("ab"), CODES, CODES), IDS, max_size=6)
ENDS = st.lists(st.integers(-40, 40), unique=True, max_size=5).map(sorted)


@given(MOVES, ENDS)
def test_the_chunks_of_an_alert_add_up_to_the_alert(moves: Moves, ends: list[int]) -> None:
    by_chunk = add_up_by_chunk(moves, {"a": ends})
    summed: Counter[tuple[str, int]] = Counter()
    for (alert_id, chunk, state), number in by_chunk.items():
        if state != CHANGES:
            summed[alert_id, state] += number
        assert chunk in (range(len(ends)) if alert_id == "a" and ends else (NO_CHUNK,))
    assert {key: number for key, number in summed.items() if number} == add_up(moves)


@given(IDS, ENDS)
def test_each_recipient_counts_in_the_chunk_that_ends_at_its_id_or_later(ids: list[int], ends: list[int]) -> None:
    found = add_up_by_chunk({("a", QUEUED, 2): ids}, {"a": ends})
    wanted = Counter(min(bisect_left(ends, one), len(ends) - 1) if ends else NO_CHUNK for one in ids)
    assert {chunk: number for (_, chunk, state), number in found.items() if state == 2} == wanted
    assert {chunk for _, chunk, state in found if state == CHANGES} == wanted.keys()


def test_a_chunk_that_changed_and_kept_its_numbers_says_that_it_changed() -> None:
    moves: Moves = {("a", 1, 3): [1], ("a", 3, 1): [2]}
    assert add_up(moves) == {}
    assert add_up_by_chunk(moves, {"a": [9]}) == {("a", 0, CHANGES): 1}


def test_marked_recipients_are_counted_for_the_alert_only() -> None:
    moves: Moves = {("a", QUEUED, POSSIBLE_DUPLICATES): [1, 2]}
    assert add_up(moves) == {("a", POSSIBLE_DUPLICATES): 2}
    assert add_up_by_chunk(moves, {"a": [9]}) == {}


def test_merging_leaves_what_was_given_as_it_is() -> None:
    one: Moves = {("a", 0, 1): [1]}
    other: Moves = {("a", 0, 1): [2], ("b", 0, 1): [3]}
    assert merge_moves([one, other]) == {("a", 0, 1): [1, 2], ("b", 0, 1): [3]}
    assert one == {("a", 0, 1): [1]}
