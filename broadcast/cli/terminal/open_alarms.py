"""Which open alarms concern an alert that somebody watches. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from broadcast.alarms import (
    ACCOUNT_CONTRADICTS,
    ACCOUNT_FAILING,
    CLOCK_WRONG,
    CONTROL_FULL,
    CONTROL_LOST_ITS_TAIL,
    JOBS_DELETED_UNSENT,
    JOBS_LOST_THEIR_TAIL,
    LOCK_HELD,
    LOST_RECORDS,
    LOST_TAIL,
    OPEN_TRANSACTION,
    OPERATOR_FAILING,
    PROCESS_SILENT,
    RECEIPTS_UNMATCHED,
    ROUTES_REFUSED,
    SERVER_AWAY,
)

OF_STAGES: Final = frozenset(
    {
        PROCESS_SILENT,
        LOCK_HELD,
        SERVER_AWAY,
        OPEN_TRANSACTION,
        LOST_TAIL,
        LOST_RECORDS,
        CONTROL_FULL,
        CONTROL_LOST_ITS_TAIL,
        JOBS_DELETED_UNSENT,
        JOBS_LOST_THEIR_TAIL,
        CLOCK_WRONG,
        ROUTES_REFUSED,
    }
)
"""Alarms about the processes and logs that each alert goes through."""

OF_RECEIPTS: Final = frozenset({ACCOUNT_FAILING, OPERATOR_FAILING, RECEIPTS_UNMATCHED, ACCOUNT_CONTRADICTS})
"""Alarms about what SMSCs answer and deliver: they concern an alert while receipts are to come."""

FIELDS: Final = ("id", "kind", "subject", "detail")


def find_concerning(alarms: Iterable[dict[str, Any]], alert_id: str, counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """The alarms that name the alert, or are about its stages, or about receipts that it waits for."""
    return [
        {name: alarm[name] for name in FIELDS}
        for alarm in alarms
        if alert_id in alarm["subject"]
        or alert_id in alarm["detail"]
        or alarm["kind"] in OF_STAGES
        or (alarm["kind"] in OF_RECEIPTS and counts.get("submitted"))
    ]


def find_naming(alarms: Iterable[dict[str, Any]], alert_id: str) -> list[dict[str, Any]]:
    """The alarms that name the alert."""
    return [alarm for alarm in alarms if alert_id in alarm["subject"] or alert_id in alarm["detail"]]


def tell_alarm(alarm: Mapping[str, Any]) -> str:
    """One open alarm in one line."""
    return f"alarm {alarm['id']} is open: {alarm['kind']} {alarm['subject']}: {alarm['detail'].rstrip('.')}"
