"""What an alert message is to do: by its CAP status, msgType, and what its references name (docs/cap.md)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from broadcast.lifecycle.states import LIVE_STATES, AlertState
from schemas.alert import Alert, MsgType, Reference, Status

_MAY_CARRY: dict[str, tuple[bool, bool]] = {
    # status: (a live route, a simulated route)
    Status.ACTUAL: (True, True),
    Status.EXERCISE: (True, True),
    Status.TEST: (False, True),
    Status.SYSTEM: (False, False),
    Status.DRAFT: (False, False),
}


def may_carry(status: Status | str, live: bool) -> bool:
    """Whether a route may carry an alert of a CAP status; planner, expander and sender all ask.

    A live route takes `Actual`, and `Exercise` (whose audience is limited to participants); a simulated one takes
    `Test` besides. `System` and `Draft` go nowhere (`docs/cap.md`), nor does a status that CAP does not know.
    """
    on_live, on_simulated = _MAY_CARRY.get(status, (False, False))
    return on_live if live else on_simulated


def participants_only(status: Status | str) -> bool:
    """Whether the audience is limited to recipients marked as participants (CAP 3.2.1, Exercise)."""
    return status == Status.EXERCISE


def expires_at(alert: Alert, *, default_seconds: float, ceiling_seconds: float, now: datetime) -> datetime:
    """The instant from which nothing of an alert is submitted any more.

    The earliest `expires` of its infos, because one text may hold them all; an info without one expires
    `default_seconds` after `sent` (CAP leaves that to the recipient, R8). Never later than `ceiling_seconds` after
    `now`, which topics and their retention are made for. It may lie in the past: then the alert is expired.
    """
    default = alert.sent + timedelta(seconds=default_seconds)
    ends = [info.expires or default for info in alert.info] or [default]
    return min(*ends, now + timedelta(seconds=ceiling_seconds))


class Action(StrEnum):
    """What the planner does with an alert message."""

    SEND = "send"
    SUPERSEDE = "supersede"
    STOP = "stop"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Known:
    """An alert that a reference names. Its `alert_id` may come from an Idempotency-Key, not from the reference."""

    alert_id: UUID
    reference: Reference
    state: AlertState
    status: Status


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do. `alert_ids` are the live alerts to stop, or to withdraw before this one is sent. `reason` is for
    people: why an alert is refused, or which references of a Cancel are not known."""

    action: Action
    alert_ids: tuple[UUID, ...] = ()
    reason: str = ""


ACTIONS: dict[tuple[Status, MsgType], Action] = {
    (Status.ACTUAL, MsgType.ALERT): Action.SEND,
    (Status.ACTUAL, MsgType.UPDATE): Action.SUPERSEDE,
    (Status.ACTUAL, MsgType.CANCEL): Action.STOP,
    (Status.ACTUAL, MsgType.ACK): Action.REFUSE,
    (Status.ACTUAL, MsgType.ERROR): Action.REFUSE,
    (Status.EXERCISE, MsgType.ALERT): Action.SEND,
    (Status.EXERCISE, MsgType.UPDATE): Action.SUPERSEDE,
    (Status.EXERCISE, MsgType.CANCEL): Action.STOP,
    (Status.EXERCISE, MsgType.ACK): Action.REFUSE,
    (Status.EXERCISE, MsgType.ERROR): Action.REFUSE,
    (Status.TEST, MsgType.ALERT): Action.SEND,
    (Status.TEST, MsgType.UPDATE): Action.SUPERSEDE,
    (Status.TEST, MsgType.CANCEL): Action.STOP,
    (Status.TEST, MsgType.ACK): Action.REFUSE,
    (Status.TEST, MsgType.ERROR): Action.REFUSE,
    (Status.SYSTEM, MsgType.ALERT): Action.REFUSE,
    (Status.SYSTEM, MsgType.UPDATE): Action.REFUSE,
    (Status.SYSTEM, MsgType.CANCEL): Action.REFUSE,
    (Status.SYSTEM, MsgType.ACK): Action.REFUSE,
    (Status.SYSTEM, MsgType.ERROR): Action.REFUSE,
    (Status.DRAFT, MsgType.ALERT): Action.REFUSE,
    (Status.DRAFT, MsgType.UPDATE): Action.REFUSE,
    (Status.DRAFT, MsgType.CANCEL): Action.REFUSE,
    (Status.DRAFT, MsgType.ACK): Action.REFUSE,
    (Status.DRAFT, MsgType.ERROR): Action.REFUSE,
}
"""What a message asks for, before its references are looked at. A Cancel never sends (`docs/cap.md`, L3)."""


def decide(alert: Alert, known: Iterable[Known] = ()) -> Decision:
    """What to do with an alert message, given those alerts that its references name and that are known.

    An Update is sent in place of what it names; it is refused if it names anything unknown, anything newer than itself,
    or nothing that is still live: it never becomes a new alert by itself. A Cancel stops whatever live alert it names,
    since stopping is the safe side; it is refused if it names none that is known. Both are refused across senders (L6)
    and across CAP statuses: an exercise cannot end an actual alert.
    """
    action = ACTIONS[alert.status, alert.msg_type]
    if action is Action.REFUSE:
        return Decision(Action.REFUSE, (), _REASONS[alert.status, alert.msg_type])
    if action is Action.SEND:
        return Decision(Action.SEND)
    found: dict[UUID, list[Known]] = {}
    for entry in known:
        # Several may have one name: one that was refused under another id must not hide one that is live.
        found.setdefault(entry.reference.alert_id, []).append(entry)
    named = {reference: _not_refused(found.get(reference.alert_id, [])) for reference in alert.referred}
    foreign = [str(reference) for reference in named if reference.sender != alert.sender]
    if foreign:
        return _refuse(f"only the sender of {foreign[0]} can {_VERBS[action]} it, and this is {alert.sender}")
    entries = [entry for several in named.values() for entry in several]
    others = [entry for entry in entries if entry.status is not alert.status]
    if others:
        return _refuse(
            f"status {alert.status} cannot {_VERBS[action]} {others[0].reference}, whose status is {others[0].status}"
        )
    live = tuple(dict.fromkeys(entry.alert_id for entry in entries if entry.state in LIVE_STATES))
    unknown = [str(reference) for reference, several in named.items() if not several]
    return _stop(live, unknown, len(named)) if action is Action.STOP else _supersede(alert, live, unknown)


def _not_refused(entries: list[Known]) -> list[Known]:
    """Without those that were refused, unless all were."""
    return [entry for entry in entries if entry.state is not AlertState.REFUSED] or entries


def _stop(live: tuple[UUID, ...], unknown: list[str], named: int) -> Decision:
    if not named or len(unknown) == named:
        return _refuse(
            f"references names no alert that is known here ({' '.join(unknown)}); check sender,identifier,sent"
        )
    return Decision(Action.STOP, live, f"not known here: {' '.join(unknown)}" if unknown else "")


def _supersede(alert: Alert, live: tuple[UUID, ...], unknown: list[str]) -> Decision:
    if unknown:
        return _refuse(f"references names {unknown[0]}, which is not known here; publish it as an Alert if it is one")
    newer = [str(reference) for reference in alert.referred if reference.sent > alert.sent]
    if newer:
        return _refuse(f"references names {newer[0]}, which was sent later than this Update")
    if not live:
        return _refuse("references names no alert that is still live; publish it as an Alert if it is one")
    return Decision(Action.SUPERSEDE, live)


def _refuse(reason: str) -> Decision:
    return Decision(Action.REFUSE, (), reason)


_VERBS = {Action.SUPERSEDE: "update", Action.STOP: "cancel"}

_REASONS = {
    (status, msg_type): f"status {status} is not for recipients; nothing is sent"
    if status in (Status.SYSTEM, Status.DRAFT)
    else f"msgType {msg_type} answers another system; nothing is sent"
    for (status, msg_type), action in ACTIONS.items()
    if action is Action.REFUSE
}
