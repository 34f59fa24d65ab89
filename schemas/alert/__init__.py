"""CAP 1.2's alert, whole, and the alert event that carries it on `broadcast.alerts.v1`."""

from schemas.alert.cap_alert import Alert, Area, Info, Reference, Resource, ValuePair, alert_id_of
from schemas.alert.event import (
    AlertAction,
    AlertEvent,
    alert_id_of_key,
    read_alert,
    read_event,
    write_alert,
    write_event,
)
from schemas.alert.invalid import PROBLEMS_MAX, AlertInvalidError, problems_of
from schemas.bounds import ALERT_BYTES_MAX, GROUPS_MAX
from schemas.enumeration import Category, Certainty, MsgType, ResponseType, Scope, Severity, Status, Urgency

__all__ = [
    "ALERT_BYTES_MAX",
    "GROUPS_MAX",
    "PROBLEMS_MAX",
    "Alert",
    "AlertAction",
    "AlertEvent",
    "AlertInvalidError",
    "Area",
    "Category",
    "Certainty",
    "Info",
    "MsgType",
    "Reference",
    "Resource",
    "ResponseType",
    "Scope",
    "Severity",
    "Status",
    "Urgency",
    "ValuePair",
    "alert_id_of",
    "alert_id_of_key",
    "problems_of",
    "read_alert",
    "read_event",
    "write_alert",
    "write_event",
]
