"""Deliveries as a pure function of the set of facts: stored chunks and attempts. Order and repetition do not matter."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from broadcast.audit.codes import CODE_OF_OUTCOME, FINAL_RECEIPT_CODES, RECEIPT_OF_CODE, STATE_OF_CODES
from broadcast.audit.coverage import Part, spread_receipts, state_of_parts
from schemas.receipt import ReceiptState
from schemas.status import RANK, DeliveryState, Outcome

_ACCEPTED = CODE_OF_OUTCOME[Outcome.ACCEPTED]


class Attempt(NamedTuple):
    """One row of `attempts`: what one status says, with the best of its receipts. Equal attempts are one fact."""

    recipient_id: int
    attempt: int
    segment: int
    segments: int
    outcome: int
    receipt_state: int | None
    possible_duplicate: bool
    submitted_at: datetime | None
    answered_at: datetime
    receipt_at: datetime | None
    account: int | None
    error: int
    receipt_error: str | None
    reason: str | None
    receipt_covers_message: bool | None

    @property
    def part(self) -> Part:
        """What the state of its recipient needs of it."""
        submit = self.attempt, self.submitted_at, self.segment, self.segments, self.outcome
        return Part(*submit, self.receipt_state, self.account, self.receipt_covers_message)

    @property
    def state(self) -> DeliveryState:
        """The state that it supports by its own receipt."""
        return STATE_OF_CODES[self.outcome, self.receipt_state]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one alert for one recipient.

    `attempt` is the one that `state` rests on (None: no attempt), `attempts` how many there were.
    `receipt_overdue`: submitted, and the deadline for its receipt has passed.
    """

    recipient_id: int
    state: DeliveryState
    attempts: int
    possible_duplicate: bool
    receipt_overdue: bool
    attempt: Attempt | None
    reason: str | None


def deliveries_of(
    recipients: Iterable[int],
    suppressed: Mapping[int, str],
    attempts: Mapping[int, Sequence[Attempt]],
    *,
    overdue_before: datetime,
) -> Iterator[Delivery]:
    """The delivery of every recipient of a chunk, ascending; `attempts` by recipient id, in any order.

    An attempt whose receipt is not there and that was submitted before `overdue_before` is overdue. Somebody who was
    suppressed and has an attempt all the same was sent something, and is shown with it.
    """
    for recipient_id in sorted(set(recipients)):
        found = attempts.get(recipient_id)
        if found:
            yield delivery_of(recipient_id, found, overdue_before=overdue_before)
        elif recipient_id in suppressed:
            yield Delivery(recipient_id, DeliveryState.SUPPRESSED, 0, False, False, None, suppressed[recipient_id])
        else:
            yield Delivery(recipient_id, DeliveryState.QUEUED, 0, False, False, None, None)


def delivery_of(recipient_id: int, attempts: Iterable[Attempt], *, overdue_before: datetime) -> Delivery:
    """The delivery of one recipient that has attempts."""
    facts = list(attempts)
    if len(facts) > 1:
        facts = sorted(set(facts), key=_order)
    elif facts[0].segment <= 1 and facts[0].segments == 1:
        fact = facts[0]
        state = fact.state
        overdue = state is DeliveryState.SUBMITTED and _is_overdue(fact, overdue_before)
        return Delivery(recipient_id, state, 1, fact.possible_duplicate, overdue, fact, fact.reason)
    parts = [fact.part for fact in facts]
    state = state_of_parts(parts)
    # An attempt that supports the state by a receipt of its own says more than one that another part speaks for.
    supporting = [fact for fact in facts if fact.state is state] or [
        fact
        for fact, receipt in zip(facts, spread_receipts(parts), strict=True)
        if STATE_OF_CODES[fact.outcome, receipt] is state
    ]
    shown = supporting[0] if supporting else facts[0]
    overdue = state is DeliveryState.SUBMITTED and any(_is_overdue(fact, overdue_before) for fact in facts)
    return Delivery(
        recipient_id,
        state,
        _count_copies(facts),
        any(fact.possible_duplicate for fact in facts),
        overdue,
        shown,
        shown.reason,
    )


def _count_copies(facts: Iterable[Attempt]) -> int:
    """Attempts, each as often as one of its segments was submitted: more than once if a sender was killed."""
    submits = {(fact.attempt, fact.segment, fact.submitted_at) for fact in facts}
    most: dict[int, int] = {}
    for (attempt, _), count in Counter((attempt, segment) for attempt, segment, _ in submits).items():
        most[attempt] = max(most.get(attempt, 0), count)
    return sum(most.values())


def _is_overdue(fact: Attempt, overdue_before: datetime) -> bool:
    return (
        fact.outcome == _ACCEPTED
        and fact.receipt_state not in FINAL_RECEIPT_CODES
        and fact.submitted_at is not None
        and fact.submitted_at < overdue_before
    )


def _order(fact: Attempt) -> tuple[object, ...]:
    """Best first, then newest; total, so that the one shown does not depend on the order of the facts."""
    return (
        RANK[fact.state],
        -fact.attempt,
        fact.segment,
        fact.segments,
        -fact.answered_at.timestamp(),
        fact.outcome,
        fact.receipt_state or 0,
        fact.possible_duplicate,
        fact.submitted_at.timestamp() if fact.submitted_at else 0.0,
        fact.receipt_at.timestamp() if fact.receipt_at else 0.0,
        fact.account or 0,
        fact.error,
        fact.receipt_error or "",
        fact.reason or "",
        bool(fact.receipt_covers_message),
    )


def receipt_name(code: int | None) -> ReceiptState | None:
    """The receipt state of a code; None stays None."""
    return None if code is None else RECEIPT_OF_CODE[code]
