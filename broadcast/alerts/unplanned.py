"""Alerts and cancels that Kafka has and the planner may not have stored yet."""

from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar
from uuid import UUID

import msgspec

from broadcast.lifecycle import AlertState
from schemas.alert import Alert, AlertAction, AlertEvent

ENTRIES_MAX: Final = 1_000
"""The latest alerts, and the latest cancels, that are kept."""

WAITS: Final = "waits for the planner, which has not read it yet; it is not lost, do not publish it again"

STOPPABLE: Final = frozenset({AlertState.ACCEPTED, AlertState.EXPANDING, AlertState.SENDING, AlertState.COMPLETED})
"""States of which a cancel ends the sending, however long the planner takes to store it."""


class _Alert(msgspec.Struct):
    identifier: str
    sender: str
    sent: datetime
    status: str
    msg_type: str = msgspec.field(name="msgType")


class _Event(msgspec.Struct):
    # The few fields that are shown: reading a whole alert of 512 KiB takes a hundred times as long.
    event: str
    alert_id: UUID
    at: datetime
    actor: str
    reason: str | None = None
    alert: _Alert | None = None


_read = msgspec.json.Decoder(_Event).decode


V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Cancel:
    """A cancel that Kafka has: no sender submits anything more of the alert."""

    alert_id: UUID
    actor: str
    at: datetime
    reason: str | None

    @property
    def note(self) -> str:
        """What people are told while the planner has not stored it."""
        why = f" ({self.reason})" if self.reason else ""
        return (
            f"the cancel by {self.actor}{why} is noted, and nothing more is submitted; the planner has not read it yet"
        )


@dataclass(frozen=True, slots=True)
class Unplanned:
    """An alert as its publication names it; its cancel, if there is one."""

    alert_id: UUID
    identifier: str
    sender: str
    sent: datetime
    status: str
    msg_type: str
    actor: str
    accepted_at: datetime
    cancel: Cancel | None = None

    @property
    def state(self) -> AlertState:
        """What will become of it, as far as that is known."""
        return AlertState.ACCEPTED if self.cancel is None else AlertState.CANCELLED

    @property
    def reason(self) -> str:
        """What it waits for."""
        return WAITS if self.cancel is None else self.cancel.note


class Listed(Protocol):
    """What a page of alerts is ordered by."""

    @property
    def alert_id(self) -> UUID:
        """Its id."""

    @property
    def accepted_at(self) -> datetime | None:
        """When it was accepted."""


class UnplannedAlerts:
    """The latest alerts that are not known to be stored, and the latest cancels."""

    def __init__(self) -> None:
        self._alerts: OrderedDict[UUID, Unplanned] = OrderedDict()
        self._cancels: OrderedDict[UUID, Cancel] = OrderedDict()

    def keep(self, entry: "Unplanned | Cancel") -> None:
        """Keep an alert or a cancel; the first to come stays."""
        if isinstance(entry, Cancel):
            _keep(self._cancels, entry.alert_id, entry)
        else:
            _keep(self._alerts, entry.alert_id, entry)

    def note(self, event: AlertEvent) -> None:
        """Keep what an event submits or cancels."""
        entry = entry_of(event)
        if entry is not None:
            self.keep(entry)

    def find(self, alert_id: UUID) -> Unplanned | None:
        """An alert that is kept, with its cancel."""
        found = self._alerts.get(alert_id)
        return None if found is None else _with_cancel(found, self._cancels.get(alert_id))

    def cancel_of(self, alert_id: UUID, state: AlertState) -> Cancel | None:
        """A cancel that the planner has not stored, of an alert that it has stored in this state."""
        return self._cancels.get(alert_id) if state in STOPPABLE else None

    def forget(self, stored: Iterable[UUID]) -> None:
        """Keep alerts no longer that are stored."""
        for alert_id in stored:
            self._alerts.pop(alert_id, None)

    def listed(self, states: Collection[AlertState], after: tuple[datetime, UUID] | None) -> list[Unplanned]:
        """Alerts in these states (all if empty) that come after a place of the list, the newest first."""
        alerts = [_with_cancel(each, self._cancels.get(each.alert_id)) for each in self._alerts.values()]
        found = [each for each in alerts if not states or each.state in states]
        if after is not None:
            found = [each for each in found if place_of(each) > (-after[0].timestamp(), after[1])]
        return sorted(found, key=place_of)


def entry_of(event: AlertEvent) -> Unplanned | Cancel | None:
    """What an event submits or cancels; None for others."""
    if event.event is AlertAction.CANCELLED:
        return Cancel(event.alert_id, event.actor, event.at, event.reason)
    if (alert := event.alert) is None:
        return None
    return unplanned_of(event, alert)


def unplanned_of(event: AlertEvent, alert: Alert) -> Unplanned:
    """The alert that an event submits."""
    names = (alert.identifier, alert.sender, alert.sent, alert.status.value, alert.msg_type.value)
    return Unplanned(event.alert_id, *names, event.actor, event.at)


def read_entry(value: bytes) -> Unplanned | Cancel | None:
    """What the value of a record of ours submits or cancels; None for others, and for what cannot be read."""
    try:
        event = _read(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if event.event == AlertAction.CANCELLED:
        return Cancel(event.alert_id, event.actor, event.at, event.reason)
    if event.event != AlertAction.SUBMITTED or (alert := event.alert) is None or not event.at.tzinfo:
        return None
    names = (alert.identifier, alert.sender, alert.sent, alert.status, alert.msg_type)
    return Unplanned(event.alert_id, *names, event.actor, event.at)


def place_of(alert: Listed) -> tuple[float, UUID]:
    """What the list of alerts is sorted by: the newest first."""
    return -(alert.accepted_at.timestamp() if alert.accepted_at else 0.0), alert.alert_id


def _with_cancel(alert: Unplanned, cancel: Cancel | None) -> Unplanned:
    if cancel is None:
        return alert
    names = (alert.identifier, alert.sender, alert.sent, alert.status, alert.msg_type)
    return Unplanned(alert.alert_id, *names, alert.actor, alert.accepted_at, cancel)


def _keep(entries: OrderedDict[UUID, V], entry_id: UUID, value: V) -> None:
    entries.setdefault(entry_id, value)
    if len(entries) > ENTRIES_MAX:
        entries.popitem(last=False)
