"""The audit: evidence, attempts, counters, and what they say of each recipient."""

from broadcast.audit.deliveries import Page, deliveries, stream_deliveries
from broadcast.audit.facts import Delivery
from broadcast.audit.history import Event, history
from broadcast.audit.keys import message_key
from broadcast.audit.rebuilding import Rebuild, rebuild_check
from broadcast.audit.summary import Summary, UnknownAlertError, summary
from broadcast.audit.verification import Verification, verify

__all__ = [
    "Delivery",
    "Event",
    "Page",
    "Rebuild",
    "Summary",
    "UnknownAlertError",
    "Verification",
    "deliveries",
    "history",
    "message_key",
    "rebuild_check",
    "stream_deliveries",
    "summary",
    "verify",
]
