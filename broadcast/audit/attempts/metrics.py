"""Metrics of the recorder, set once per batch."""

from collections import Counter
from collections.abc import Mapping

from broadcast import metrics
from broadcast.audit.attempts.batch import Batch, Recorded
from broadcast.audit.attempts.rows import Latencies
from broadcast.audit.codes import RECEIPT_OF_CODE

Names = Mapping[int, str]
"""Names of accounts by their numbers."""


def report_batch(batch: Batch, recorded: Recorded, accounts: Mapping[str, int]) -> None:
    """Count what one batch wrote, and observe the latencies of its receipts."""
    metrics.audit_rows.labels("status").inc(recorded.attempts)
    metrics.audit_rows.labels("receipt").inc(recorded.receipts)
    metrics.audit_rows.labels("receipt_parked").inc(recorded.parked)
    for name, number in Counter(one.receipt.account for _, one in batch.unreadable).items():
        metrics.receipts_unreadable.labels(name).inc(number)
    for segment in batch.segments:
        metrics.evidence_segments.labels(segment.topic).inc()
    names: Names = {number: name for name, number in accounts.items()}
    report_first("matched", recorded.matched, names)
    report_first("early", recorded.early, names)
    report_repeated(recorded.repeated, names)


def report_first(match: str, latencies: Latencies, names: Names) -> None:
    """Count receipts that were the first of their attempt, and observe their latencies."""
    for (account, code), milliseconds in latencies.items():
        name, state = _name(account, names), RECEIPT_OF_CODE[code].value
        metrics.receipts.labels(name, state, match).inc(len(milliseconds))
        # An SMSC's host and this one need not agree on the time to the millisecond.
        seconds = [max(0, value) / 1000 for value in milliseconds]
        metrics.observe_batch(metrics.receipt_duration.labels(name, state), seconds)


def report_repeated(repeated: Counter[tuple[int | None, int]], names: Names) -> None:
    """Count receipts whose attempt had one before."""
    for (account, code), number in repeated.items():
        metrics.receipts.labels(_name(account, names), RECEIPT_OF_CODE[code].value, "duplicate").inc(number)


def _name(account: int | None, names: Names) -> str:
    return "" if account is None else names.get(account, "")
