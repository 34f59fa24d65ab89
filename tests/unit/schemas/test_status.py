"""The state of a recipient from the set of its attempts: whole copies, and none put together from two."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from schemas.status import RANK, DeliveryState, Fact, state_of_recipient

DELIVERED, SUBMITTED, UNKNOWN = DeliveryState.DELIVERED, DeliveryState.SUBMITTED, DeliveryState.UNKNOWN
UNDELIVERED, QUEUED, EXPIRED = DeliveryState.UNDELIVERED, DeliveryState.QUEUED, DeliveryState.EXPIRED


def copy(attempt: int, *states: DeliveryState, at: int = 0) -> list[Fact]:
    return [(attempt, at or attempt, number, len(states), state) for number, state in enumerate(states, 1)]


def test_parts_of_two_copies_do_not_add_up_to_a_message_that_no_phone_could_join() -> None:
    first, second = copy(1, DELIVERED, UNDELIVERED), copy(2, UNDELIVERED, DELIVERED)
    assert state_of_recipient(first + second) is UNDELIVERED
    assert state_of_recipient(first + copy(2, DELIVERED, DELIVERED)) is DELIVERED


def test_what_was_left_of_a_copy_and_sent_by_its_session_completes_it() -> None:
    first = copy(1, DELIVERED, QUEUED, QUEUED)
    rest: list[Fact] = [(2, 2, 2, 3, DELIVERED), (2, 2, 3, 3, QUEUED)]
    assert state_of_recipient(first + rest) is QUEUED
    assert state_of_recipient([*first, *rest, (3, 3, 3, 3, DELIVERED)]) is DELIVERED


def test_a_rest_completes_the_copy_before_it_and_no_other() -> None:
    facts = copy(1, UNKNOWN, DELIVERED) + copy(2, QUEUED, SUBMITTED)
    assert state_of_recipient([*facts, (3, 3, 1, 2, DELIVERED)]) is SUBMITTED


def test_two_copies_of_one_attempt_are_told_apart_by_their_instants() -> None:
    first, second = copy(1, DELIVERED, UNDELIVERED, at=5), copy(1, UNDELIVERED, DELIVERED, at=6)
    assert state_of_recipient(first + second) is UNDELIVERED
    written_in_turns: list[Fact] = [(1, 5, 1, 2, DELIVERED), (1, 6, 2, 2, DELIVERED)]
    assert state_of_recipient(written_in_turns) is DELIVERED


def test_what_is_said_of_the_whole_message_speaks_for_each_segment() -> None:
    assert state_of_recipient([*copy(1, SUBMITTED, QUEUED), (2, 0, 0, 1, EXPIRED)]) is EXPIRED
    assert state_of_recipient([*copy(1, SUBMITTED, SUBMITTED), (2, 0, 0, 1, EXPIRED)]) is SUBMITTED
    assert state_of_recipient([]) is QUEUED


def test_unknown_does_not_count_where_the_submit_was_answered_after_all() -> None:
    assert state_of_recipient([*copy(1, UNKNOWN, UNKNOWN), *copy(1, UNDELIVERED, SUBMITTED)]) is UNDELIVERED


STATES = st.sampled_from(sorted(RANK, key=RANK.__getitem__))
FACTS = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(0, 3), st.just(3), STATES), max_size=12)


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
