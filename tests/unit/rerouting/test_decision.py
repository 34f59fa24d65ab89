"""Whether somebody who was reported undelivered gets a new copy: once, and only while it may still help."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.audit.codes import CODE_OF_OUTCOME, CODE_OF_RECEIPT
from broadcast.audit.coverage import Part, state_of_parts
from broadcast.audit.undelivered import UNDELIVERED_CODES, number_routes, other_routes
from broadcast.lifecycle import AlertState
from broadcast.rerouting.claims import Claim
from broadcast.rerouting.decision import BY_STATE, AlertFacts, Decision, Noted, decide
from broadcast.rerouting.new_copies import make_records
from broadcast.routing import read_routes
from schemas.job import HIGHEST_ATTEMPT, Job
from schemas.lane import Lane
from schemas.receipt import ReceiptState
from schemas.status import DeliveryState, Outcome
from schemas.topics import Names

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
PERSON = Noted("+4915000001", None)
GOING = AlertFacts(AlertState.SENDING, LATER)

ROUTES = read_routes(
    """
[[routes]]
name = "one"
prefixes = ["+49"]
undelivered_route = "two"
accounts = [
    { name = "a", host = "127.0.0.1", port = 2775, system_id = "a" },
    { name = "b", host = "127.0.0.1", port = 2775, system_id = "b" },
]
[[routes]]
name = "two"
prefixes = ["+0"]
partitions = 3
accounts = [{ name = "c", host = "127.0.0.1", port = 2776, system_id = "c" }]
"""
)


def part(
    receipt: ReceiptState | None = ReceiptState.UNDELIVERABLE,
    outcome: Outcome = Outcome.ACCEPTED,
    attempt: int = 1,
    segment: int = 1,
    segments: int = 1,
) -> Part:
    code = None if receipt is None else CODE_OF_RECEIPT[receipt]
    return Part(attempt, NOW, segment, segments, CODE_OF_OUTCOME[outcome], code, 1, False)


def test_every_state_has_a_decision() -> None:
    assert BY_STATE.keys() == set(DeliveryState)


@pytest.mark.parametrize("receipt", ReceiptState)
def test_a_receipt_that_says_the_smsc_has_given_up_gives_a_new_copy_and_no_other(receipt: ReceiptState) -> None:
    given_up = {"undeliverable", "deleted", "expired", "rejected"}
    expected = Decision.SEND if receipt.value in given_up else Decision.DROP
    assert decide(PERSON, GOING, [part(receipt)], NOW) is expected
    assert (CODE_OF_RECEIPT[receipt] in UNDELIVERED_CODES) is (receipt.value in given_up)


@pytest.mark.parametrize(
    "other",
    [
        part(ReceiptState.DELIVERED, attempt=2),
        part(None, attempt=2),
        part(None, Outcome.UNKNOWN, attempt=2),
    ],
    ids=["delivered", "submitted", "unknown"],
)
def test_another_attempt_that_may_have_reached_the_phone_gives_none(other: Part) -> None:
    assert decide(PERSON, GOING, [part(), other], NOW) is Decision.DROP


def test_it_waits_while_another_segment_is_tried_again() -> None:
    parts = [part(segments=2), part(None, Outcome.REFUSED_FOR_NOW, segment=2, segments=2)]
    assert decide(PERSON, GOING, parts, NOW) is Decision.WAIT


@pytest.mark.parametrize("state", AlertState)
def test_the_alert_is_neither_stopped_nor_expired(state: AlertState) -> None:
    sent = state in {AlertState.EXPANDING, AlertState.SENDING, AlertState.COMPLETED}
    assert decide(PERSON, AlertFacts(state, LATER), [part()], NOW) is (Decision.SEND if sent else Decision.DROP)
    assert decide(PERSON, AlertFacts(state, NOW), [part()], NOW) is Decision.DROP
    assert decide(PERSON, AlertFacts(state, LATER, stopped=True), [part()], NOW) is Decision.DROP


@pytest.mark.parametrize(
    "person",
    [
        Noted(None, None),
        Noted("+4915000001", "opted out"),
        Noted('+49"x', None),
        Noted("+4915000001", None, other_number=True),
    ],
    ids=["erased", "suppressed", "not E.164", "another number"],
)
def test_who_was_erased_or_suppressed_or_has_another_number_gets_none(person: Noted) -> None:
    assert decide(person, GOING, [part()], NOW) is Decision.DROP


def test_a_claimed_copy_goes_again_unless_its_attempt_has_an_outcome() -> None:
    claimed = Noted(PERSON.msisdn, None, claimed_attempt=2)
    assert decide(claimed, GOING, [part()], NOW) is Decision.SEND
    assert decide(claimed, GOING, [part(), part(attempt=2)], NOW) is Decision.DROP


def test_attempts_have_an_end() -> None:
    parts = [part(attempt=HIGHEST_ATTEMPT)]
    assert decide(PERSON, GOING, parts, NOW) is Decision.DROP


parts = st.builds(
    part,
    receipt=st.none() | st.sampled_from(ReceiptState),
    outcome=st.sampled_from(Outcome),
    attempt=st.integers(1, 4),
    segment=st.integers(0, 3),
    segments=st.just(3),
)


@given(
    st.lists(parts, max_size=6),
    st.builds(
        AlertFacts,
        state=st.sampled_from(AlertState),
        expires_at=st.integers(-2, 2).map(lambda seconds: NOW + timedelta(seconds=seconds)),
        stopped=st.booleans(),
    ),
    st.none() | st.integers(1, 4),
)
def test_nobody_whose_phone_may_have_the_message_gets_a_copy(
    facts: list[Part], alert: AlertFacts, claimed: int | None
) -> None:
    decision = decide(Noted(PERSON.msisdn, None, claimed), alert, facts, NOW)
    assert decision is decide(Noted(PERSON.msisdn, None, claimed), alert, facts[::-1], NOW)
    if decision is Decision.SEND:
        assert state_of_parts(facts) in {DeliveryState.UNDELIVERED, DeliveryState.REJECTED, DeliveryState.EXPIRED}
        assert alert.expires_at > NOW
        assert not alert.stopped
        assert all(fact.attempt < (claimed or HIGHEST_ATTEMPT) for fact in facts)


def test_every_account_of_a_route_has_its_other_route() -> None:
    others = other_routes(ROUTES)
    assert others == {"a": "two", "b": "two"}
    assert number_routes(others, {"b": 7, "c": 8}) == {7: "two"}


def test_a_job_is_the_whole_message_in_the_language_of_the_person() -> None:
    others = {route.name: route for route in ROUTES}
    alert_id = "01234567-89ab-cdef-0123-456789abcdef"
    claims = [
        Claim(alert_id, 7, "+4915000007", "de-AT", "two", Lane.PRIORITY, 2, possible_duplicate=False),
        Claim(alert_id, 9, "+4915000009", None, "two", Lane.ROUTINE, 5, possible_duplicate=True),
    ]
    first, second = make_records(Names("x."), others, claims, {alert_id: {"en": 0, "de": 1}})
    assert (first.topic, first.partition, first.key) == ("x.jobs.two.priority.v1", 1, b"7")
    assert msgspec.json.decode(first.value, type=Job) == Job(alert_id, 7, "+4915000007", variant=1, attempt=2)
    assert (second.topic, second.partition, second.key) == ("x.jobs.two.routine.v1", 0, b"9")
    expected = Job(alert_id, 9, "+4915000009", attempt=5, possible_duplicate=True)
    assert msgspec.json.decode(second.value, type=Job) == expected
