"""What a sender tells its operators, once per beat."""

from broadcast import metrics
from broadcast.sending.outbox import Parcel


def report_beat(parcel: Parcel, *, in_doubt: int, seconds: float) -> None:
    """Count what one beat carried."""
    metrics.beat_duration.observe(seconds)
    metrics.in_doubt.set(in_doubt)
    for (lane, outcome), number in parcel.outcomes.items():
        metrics.jobs.labels(lane.value, outcome.value).inc(number)
    for lane, handovers in parcel.handovers.items():
        metrics.observe_batch(metrics.handover_duration.labels(lane.value), handovers)
