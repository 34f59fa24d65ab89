"""The audit: evidence, attempts, counters, and what they say of each recipient."""

from broadcast.audit.attempts.rebuild import Rebuild, rebuild_check
from broadcast.audit.deliveries.history import Event, history
from broadcast.audit.deliveries.pages import Page, deliveries, stream_deliveries
from broadcast.audit.deliveries.state import Delivery
from broadcast.audit.deliveries.summary import Summary, summary
from broadcast.audit.errors import UnknownAlertError
from broadcast.audit.evidence.verification import Verification, verify
from broadcast.audit.message_key import message_key

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
