"""A sender's alarms: a log line and a count. It has no database; those of the audit are rows (`broadcast.audit`)."""

import structlog

from broadcast import metrics

log = structlog.get_logger(__name__)


def raise_alarm(kind: str, **facts: object) -> None:
    """Say that something needs a person; `facts` are for the log, and hold no number."""
    log.error("alarm", kind=kind, **facts)
    metrics.sender_alarms.labels(kind).inc()
