"""Deliveries are a function of the set of facts: no order, no repetition."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.audit.codes import CODE_OF_OUTCOME, CODE_OF_RECEIPT, STATE_OF_CODES
from broadcast.audit.coverage import Part, spread_receipts, state_of_parts
from broadcast.audit.deliveries.state import Attempt, deliveries_of
from schemas.receipt import ReceiptState
from schemas.status import RANK, DeliveryState, Fact, Outcome, group_copies, state_of_recipient

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
instants = st.integers(0, 3).map(lambda number: NOW + timedelta(seconds=number))

attempts = st.builds(
    Attempt,
    recipient_id=st.integers(1, 4),
    attempt=st.integers(1, 3),
    segment=st.integers(0, 3),
    segments=st.integers(1, 3),
    outcome=st.sampled_from(sorted(CODE_OF_OUTCOME.values())),
    receipt_state=st.none() | st.sampled_from(sorted(CODE_OF_RECEIPT.values())),
    possible_duplicate=st.booleans(),
    submitted_at=st.none() | instants,
    answered_at=instants,
    receipt_at=st.none() | instants,
    account=st.none() | st.integers(1, 2),
    error=st.integers(0, 2),
    receipt_error=st.none() | st.just("000"),
    reason=st.none() | st.sampled_from(["a", "b"]),
    receipt_covers_message=st.none() | st.just(True),
)


def attempt(outcome: Outcome = Outcome.ACCEPTED, receipt: ReceiptState | None = None, **changes: object) -> Attempt:
    values = {
        "recipient_id": 1,
        "attempt": 1,
        "segment": 1,
        "segments": 1,
        "possible_duplicate": False,
        "submitted_at": NOW,
        "answered_at": NOW,
        "receipt_at": None,
        "account": 1,
        "error": 0,
        "receipt_error": None,
        "reason": None,
        "receipt_covers_message": None,
    } | changes
    code = None if receipt is None else CODE_OF_RECEIPT[receipt]
    return Attempt(outcome=CODE_OF_OUTCOME[outcome], receipt_state=code, **values)  # type: ignore[arg-type]


def by_recipient(facts: list[Attempt]) -> dict[int, list[Attempt]]:
    found: dict[int, list[Attempt]] = {}
    for fact in facts:
        found.setdefault(fact.recipient_id, []).append(fact)
    return found


@given(st.lists(attempts, max_size=8), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(facts: list[Attempt], random: Random) -> None:
    again = facts + facts[: len(facts) // 2]
    random.shuffle(again)
    recipients = [1, 2, 3, 4, 5]
    first = list(deliveries_of(recipients, {4: "opted out"}, by_recipient(facts), overdue_before=NOW))
    random.shuffle(recipients)
    second = list(deliveries_of(recipients * 2, {4: "opted out"}, by_recipient(again), overdue_before=NOW))
    assert first == second


@given(st.lists(attempts, max_size=8))
def test_everyone_has_one_delivery_and_one_state(facts: list[Attempt]) -> None:
    found = list(deliveries_of(range(1, 6), {5: "opted out"}, by_recipient(facts), overdue_before=NOW))
    assert [delivery.recipient_id for delivery in found] == [1, 2, 3, 4, 5]
    assert found[-1].state is DeliveryState.SUPPRESSED
    for delivery in found[:4]:
        assert (delivery.attempt is None) == (delivery.attempts == 0)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ([], DeliveryState.QUEUED),
        ([attempt()], DeliveryState.SUBMITTED),
        ([attempt(receipt=ReceiptState.DELIVERED)], DeliveryState.DELIVERED),
        ([attempt(Outcome.REFUSED_FOR_NOW)], DeliveryState.QUEUED),
        ([attempt(Outcome.REFUSED_FOR_NOW), attempt(Outcome.EXPIRED, attempt=2, segment=0)], DeliveryState.EXPIRED),
        ([attempt(Outcome.UNKNOWN), attempt(attempt=2, possible_duplicate=True)], DeliveryState.SUBMITTED),
        ([attempt(Outcome.UNKNOWN), attempt(Outcome.REFUSED)], DeliveryState.REJECTED),
        ([attempt(Outcome.UNKNOWN), attempt(Outcome.REFUSED_FOR_NOW)], DeliveryState.QUEUED),
        ([attempt(Outcome.UNKNOWN), attempt(Outcome.REFUSED, attempt=2)], DeliveryState.UNKNOWN),
        ([attempt(Outcome.UNKNOWN), attempt(Outcome.REFUSED, submitted_at=LATER)], DeliveryState.UNKNOWN),
        (
            [attempt(Outcome.UNKNOWN, segments=2), attempt(Outcome.REFUSED, segment=2, segments=2)],
            DeliveryState.REJECTED,
        ),
        ([attempt(segments=2)], DeliveryState.QUEUED),
        ([attempt(segments=2), attempt(segment=2, segments=2)], DeliveryState.SUBMITTED),
        (
            [
                attempt(receipt=ReceiptState.DELIVERED, segments=2),
                attempt(receipt=ReceiptState.UNDELIVERABLE, segment=2, segments=2),
            ],
            DeliveryState.UNDELIVERED,
        ),
        (
            [
                attempt(receipt=ReceiptState.UNDELIVERABLE),
                attempt(receipt=ReceiptState.DELIVERED, attempt=2, possible_duplicate=True),
            ],
            DeliveryState.DELIVERED,
        ),
    ],
)
def test_states(facts: list[Attempt], state: DeliveryState) -> None:
    (delivery,) = deliveries_of([1], {}, by_recipient(facts), overdue_before=NOW)
    assert delivery.state is state
    assert delivery.possible_duplicate == any(fact.possible_duplicate for fact in facts)


@pytest.mark.parametrize(
    ("receipt", "overdue"),
    [(None, True), (ReceiptState.ENROUTE, True), (ReceiptState.DELIVERED, False), (ReceiptState.UNKNOWN, False)],
)
def test_a_submit_without_a_final_receipt_is_overdue_after_the_deadline(
    receipt: ReceiptState | None, overdue: bool
) -> None:
    facts = {1: [attempt(receipt=receipt)]}
    (late,) = deliveries_of([1], {}, facts, overdue_before=NOW + timedelta(seconds=1))
    (early,) = deliveries_of([1], {}, facts, overdue_before=NOW)
    assert late.receipt_overdue is overdue
    assert early.receipt_overdue is False


def copy_of_three(
    *receipts: ReceiptState | None, outcomes: tuple[Outcome, ...] = (Outcome.ACCEPTED,) * 3, **changes: object
) -> list[Attempt]:
    """A message of three parts by an account that sends one receipt for all."""
    given = {"segments": 3, "receipt_covers_message": True} | changes
    return [
        attempt(outcome, receipt, segment=segment, **given)
        for segment, (outcome, receipt) in enumerate(zip(outcomes, receipts, strict=True), 1)
    ]


ACCEPTED, REFUSED_FOR_NOW = Outcome.ACCEPTED, Outcome.REFUSED_FOR_NOW
DELIVERED, UNDELIVERABLE, ENROUTE = ReceiptState.DELIVERED, ReceiptState.UNDELIVERABLE, ReceiptState.ENROUTE
FIRST_TWO = (ACCEPTED, ACCEPTED, REFUSED_FOR_NOW)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (copy_of_three(None, None, None), DeliveryState.SUBMITTED),
        (copy_of_three(DELIVERED, None, None), DeliveryState.DELIVERED),
        (copy_of_three(None, None, UNDELIVERABLE), DeliveryState.UNDELIVERED),
        # what is not final speaks for nobody, and is replaced
        (copy_of_three(ENROUTE, None, None), DeliveryState.SUBMITTED),
        (copy_of_three(ENROUTE, DELIVERED, None), DeliveryState.DELIVERED),
        # a part with a final receipt of its own keeps it
        (copy_of_three(DELIVERED, UNDELIVERABLE, None), DeliveryState.UNDELIVERED),
        # a part that is not accepted, or not answered yet, is not spoken for
        (copy_of_three(DELIVERED, None, None, outcomes=(ACCEPTED, ACCEPTED, Outcome.REFUSED)), DeliveryState.REJECTED),
        (copy_of_three(DELIVERED, None, None)[:2], DeliveryState.QUEUED),
        # the rest of a copy, sent again
        (
            [
                *copy_of_three(DELIVERED, None, None, outcomes=FIRST_TWO),
                *copy_of_three(None, None, None, attempt=2)[2:],
            ],
            DeliveryState.DELIVERED,
        ),
        # a whole copy sent again: each is spoken for by its own receipts
        (
            [
                *copy_of_three(UNDELIVERABLE, None, None),
                *copy_of_three(None, None, None, attempt=2, submitted_at=LATER),
            ],
            DeliveryState.SUBMITTED,
        ),
        (
            [
                *copy_of_three(None, None, None, outcomes=(Outcome.UNKNOWN,) * 3),
                *copy_of_three(None, DELIVERED, None, attempt=2, submitted_at=LATER),
            ],
            DeliveryState.DELIVERED,
        ),
        # the parts of a copy may be written at different instants, after a copy that was answered in part
        (
            [
                attempt(Outcome.UNKNOWN, segments=2, receipt_covers_message=True),
                attempt(segment=2, segments=2, receipt_covers_message=True),
                attempt(attempt=2, segments=2, receipt_covers_message=True, submitted_at=LATER),
                attempt(
                    ACCEPTED,
                    DELIVERED,
                    attempt=2,
                    segment=2,
                    segments=2,
                    receipt_covers_message=True,
                    submitted_at=LATER + timedelta(milliseconds=1),
                ),
            ],
            DeliveryState.DELIVERED,
        ),
        # two senders wrote the same attempt, because the first was killed: two copies
        (
            [
                *copy_of_three(UNDELIVERABLE, None, None),
                *copy_of_three(None, None, None, possible_duplicate=True, submitted_at=LATER),
            ],
            DeliveryState.SUBMITTED,
        ),
        # another account's receipt speaks for itself only
        (
            [
                *copy_of_three(DELIVERED, None, None, outcomes=FIRST_TWO),
                *copy_of_three(None, None, None, account=2)[2:],
            ],
            DeliveryState.SUBMITTED,
        ),
        # an account with a receipt for each part
        (copy_of_three(DELIVERED, None, None, receipt_covers_message=None), DeliveryState.SUBMITTED),
    ],
)
def test_one_receipt_speaks_for_all_parts_of_its_copy(facts: list[Attempt], state: DeliveryState) -> None:
    for order in (facts, facts[::-1], facts[1:] + facts[:1], facts + facts):
        (delivery,) = deliveries_of([1], {}, by_recipient(order), overdue_before=NOW)
        assert delivery.state is state


def test_parts_written_at_different_instants_are_one_attempt() -> None:
    facts = [
        attempt(segment=segment, segments=3, submitted_at=NOW + timedelta(milliseconds=segment))
        for segment in (1, 2, 3)
    ]
    again = [attempt(segment=segment, segments=3, submitted_at=LATER, possible_duplicate=True) for segment in (1, 2)]
    third = [attempt(attempt=2, segment=3, segments=3, submitted_at=LATER)]
    counts = [
        next(deliveries_of([1], {}, {1: known}, overdue_before=NOW)).attempts
        for known in (facts, facts + again, facts + again + third)
    ]
    assert counts == [1, 2, 3]


def test_an_answer_that_came_late_is_no_attempt_of_its_own() -> None:
    facts = [attempt(Outcome.UNKNOWN), attempt(answered_at=LATER)]
    (delivery,) = deliveries_of([1], {}, {1: facts}, overdue_before=NOW)
    assert delivery.attempts == 1


def test_the_attempt_that_is_shown_has_the_receipt_itself() -> None:
    (delivery,) = deliveries_of([1], {}, {1: copy_of_three(None, None, DELIVERED)}, overdue_before=LATER)
    assert delivery.attempt is not None
    assert (delivery.attempt.segment, delivery.receipt_overdue) == (3, False)


PARTS = st.lists(
    st.builds(
        Part,
        attempt=st.integers(1, 3),
        submitted_at=instants,
        segment=st.integers(0, 3),
        segments=st.just(3),
        outcome=st.sampled_from(sorted(CODE_OF_OUTCOME.values())),
        receipt=st.none() | st.sampled_from(sorted(CODE_OF_RECEIPT.values())),
        account=st.integers(1, 2),
        covers=st.booleans(),
    ),
    max_size=10,
)


@given(PARTS)
def test_a_receipt_speaks_for_parts_of_the_very_copy_that_the_state_is_of(parts: list[Part]) -> None:
    spread = spread_receipts(parts)
    facts = [
        Fact(*part[:4], STATE_OF_CODES[part.outcome, receipt], part.account, part.outcome == CODE_OF_OUTCOME[ACCEPTED])
        for part, receipt in zip(parts, spread, strict=True)
    ]
    copies = group_copies(facts)
    for copy in copies:
        own = {parts[place].receipt for place in copy if parts[place].covers}
        assert all(spread[place] == parts[place].receipt or spread[place] in own for place in copy)
    unknown_answered = {fact[:3] for fact in facts if fact.state is DeliveryState.UNKNOWN}
    if not unknown_answered:
        best = min(RANK[state_of_recipient([facts[place] for place in copy])] for copy in copies or [[]])
        assert RANK[state_of_parts(parts)] == best
