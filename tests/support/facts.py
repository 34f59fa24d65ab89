"""What tests say of a recipient's state from statuses, without the audit."""

from schemas.status import DeliveryState, Fact, Outcome, Status


def fact_of(status: Status, state: DeliveryState) -> Fact:
    """A status as a fact that supports this state."""
    submit = status.attempt, status.submitted_at, status.segment, status.segments
    return Fact(*submit, state, status.account, status.outcome is Outcome.ACCEPTED)
