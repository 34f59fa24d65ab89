"""The state of a recipient from the set of its attempts: whole copies, and none put together from two."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.status import RANK, DeliveryState, Fact, group_copies, state_of_recipient

DELIVERED, SUBMITTED, UNKNOWN = DeliveryState.DELIVERED, DeliveryState.SUBMITTED, DeliveryState.UNKNOWN
UNDELIVERED, QUEUED, EXPIRED = DeliveryState.UNDELIVERED, DeliveryState.QUEUED, DeliveryState.EXPIRED


def copy(attempt: int, *states: DeliveryState, at: int = 0) -> list[Fact]:
    return [Fact(attempt, at or attempt, number, len(states), state) for number, state in enumerate(states, 1)]


def test_parts_of_two_copies_do_not_add_up_to_a_message_that_no_phone_could_join() -> None:
    first, second = copy(1, DELIVERED, UNDELIVERED), copy(2, UNDELIVERED, DELIVERED)
    assert state_of_recipient(first + second) is UNDELIVERED
    assert state_of_recipient(first + copy(2, DELIVERED, DELIVERED)) is DELIVERED


def test_what_was_left_of_a_copy_and_sent_by_its_session_completes_it() -> None:
    first = copy(1, DELIVERED, QUEUED, QUEUED)
    rest = [Fact(2, 2, 2, 3, DELIVERED), Fact(2, 2, 3, 3, QUEUED)]
    assert state_of_recipient(first + rest) is QUEUED
    assert state_of_recipient([*first, *rest, Fact(3, 3, 3, 3, DELIVERED)]) is DELIVERED


def test_a_rest_completes_the_copy_before_it_and_no_other() -> None:
    facts = copy(1, UNKNOWN, DELIVERED) + copy(2, QUEUED, SUBMITTED)
    assert state_of_recipient([*facts, Fact(3, 3, 1, 2, DELIVERED)]) is SUBMITTED


def test_two_copies_of_one_attempt_are_told_apart_by_their_instants() -> None:
    first, second = copy(1, DELIVERED, UNDELIVERED, at=5), copy(1, UNDELIVERED, DELIVERED, at=6)
    assert state_of_recipient(first + second) is UNDELIVERED
    written_in_turns = [Fact(1, 5, 1, 2, DELIVERED), Fact(1, 6, 2, 2, DELIVERED)]
    assert state_of_recipient(written_in_turns) is DELIVERED


def test_what_is_said_of_the_whole_message_speaks_for_each_segment() -> None:
    assert state_of_recipient([*copy(1, SUBMITTED, QUEUED), Fact(2, 0, 0, 1, EXPIRED)]) is EXPIRED
    assert state_of_recipient([*copy(1, SUBMITTED, SUBMITTED), Fact(2, 0, 0, 1, EXPIRED)]) is SUBMITTED
    assert state_of_recipient([]) is QUEUED


def test_unknown_does_not_count_where_the_submit_was_answered_after_all() -> None:
    assert state_of_recipient([*copy(1, UNKNOWN, UNKNOWN), *copy(1, UNDELIVERED, SUBMITTED)]) is UNDELIVERED


def accepted(attempt: int, segment: int, account: str, state: DeliveryState = DELIVERED, *, segments: int = 2) -> Fact:
    return Fact(attempt, attempt, segment, segments, state, account, accepted=True)


def test_segments_by_another_account_are_of_another_copy() -> None:
    first = [accepted(1, 1, "a"), Fact(1, 1, 2, 2, QUEUED, "a")]
    assert state_of_recipient([*first, accepted(2, 2, "a")]) is DELIVERED
    assert state_of_recipient([*first, accepted(2, 2, "b")]) is QUEUED, "its other status is not there yet"
    assert state_of_recipient([*first, accepted(2, 2, "b"), accepted(2, 1, "b", SUBMITTED)]) is SUBMITTED


def test_a_segment_that_was_accepted_before_begins_another_copy() -> None:
    first = [accepted(1, 1, "a", UNDELIVERED), Fact(1, 1, 2, 2, QUEUED, "a")]
    assert group_copies([*first, accepted(2, 1, "a")]) == [[0, 1], [2]]
    assert group_copies([*first, accepted(2, 2, "a")]) == [[0, 1, 2]]


@pytest.mark.parametrize("before", [QUEUED, UNKNOWN])
def test_a_rest_may_hold_a_segment_that_was_accepted_after_another_outcome(before: DeliveryState) -> None:
    first = [Fact(1, 1, 1, 3, before, "a"), accepted(1, 2, "a", segments=3), Fact(1, 1, 3, 3, QUEUED, "a")]
    late = accepted(1, 1, "a", segments=3)
    rest = [accepted(2, 1, "a", segments=3), accepted(2, 3, "a", segments=3)]
    assert group_copies([*first, late, *rest]) == [[0, 1, 2, 3, 4, 5]]
    assert state_of_recipient([*first, late, *rest]) is DELIVERED


def test_a_rest_is_of_the_newest_copy_even_if_an_older_one_went_by_its_account() -> None:
    first = [accepted(1, 1, "a"), Fact(1, 1, 2, 2, QUEUED, "a")]
    second = [Fact(2, 2, number, 2, QUEUED, "b") for number in (1, 2)]
    assert group_copies([*first, *second, accepted(3, 2, "a")]) == [[0, 1], [2, 3], [4]]


STATES = st.sampled_from(sorted(RANK, key=RANK.__getitem__))
FACTS = st.lists(
    st.builds(
        Fact,
        attempt=st.integers(1, 3),
        at=st.integers(1, 2),
        segment=st.integers(0, 3),
        segments=st.just(3),
        state=STATES,
        account=st.sampled_from(["a", "b"]),
        accepted=st.booleans(),
    ),
    max_size=12,
)


@given(FACTS, st.randoms(use_true_random=False))
def test_order_and_repetition_of_the_facts_make_no_difference(facts: list[Fact], random: Random) -> None:
    again = facts * 2
    random.shuffle(again)
    assert state_of_recipient(again) is state_of_recipient(facts)


@given(st.lists(st.lists(STATES, min_size=3, max_size=3), min_size=1, max_size=4))
def test_the_state_is_that_of_the_best_copy(copies: list[list[DeliveryState]]) -> None:
    facts = [fact for attempt, states in enumerate(copies, 1) for fact in copy(attempt, *states)]
    best = min(max(RANK[state] for state in states) for states in copies)
    assert RANK[state_of_recipient(facts)] == best


@given(FACTS)
def test_each_fact_is_of_one_copy_and_each_copy_of_one_account(facts: list[Fact]) -> None:
    copies = group_copies(facts)
    assert sorted(place for copy in copies for place in copy) == list(range(len(facts)))
    assert all(len({facts[place].account for place in copy}) == 1 for copy in copies)
    assert all(len(copy) == 1 for copy in copies if any(facts[place].segment == 0 for place in copy))
