"""What an alert message is to do: by its CAP status, msgType, and what its references name (docs/cap.md)."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from broadcast.lifecycle.references import EFFECTS, Effect, Known, Standing, standing_of
from broadcast.lifecycle.states import AlertState
from broadcast.lifecycle.stops import STOPPED_NOTHING, describe_stops
from schemas.alert import Alert, MsgType, Reference, Status

_MAY_CARRY: dict[str, tuple[bool, bool]] = {
    # status: (a live route, a test route)
    Status.ACTUAL: (True, True),
    Status.EXERCISE: (True, True),
    Status.TEST: (False, True),
    Status.SYSTEM: (False, False),
    Status.DRAFT: (False, False),
}


def may_carry(status: Status | str, live: bool) -> bool:
    """Whether a route may carry an alert of a CAP status; planner, expander and sender all ask.

    A live route takes `Actual`, and `Exercise` (whose audience is limited to participants); a test route takes
    `Test` besides. `System` and `Draft` go nowhere (`docs/cap.md`), nor does a status that CAP does not know.
    """
    on_live, on_test = _MAY_CARRY.get(status, (False, False))
    return on_live if live else on_test


def participants_only(status: Status | str) -> bool:
    """Whether the audience is limited to recipients marked as participants (CAP 3.2.1, Exercise)."""
    return status == Status.EXERCISE


class Action(StrEnum):
    """What the planner does with an alert message."""

    SEND = "send"
    SUPERSEDE = "supersede"
    STOP = "stop"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with an alert message.

    `alert_ids` are the live alerts to stop, or to withdraw before this one is sent. `remembered` are the ids of alerts
    that are not here: if one comes later, this one has replaced it. `left` are live Updates in the place of an alert
    that a Cancel names: it does not stop them. `reason` is for people: why the message is refused, which references are
    not known, what a Cancel did to each.
    """

    action: Action
    alert_ids: tuple[UUID, ...] = ()
    reason: str = ""
    remembered: tuple[UUID, ...] = ()
    left: tuple[UUID, ...] = ()


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

    `EFFECTS` says what each reference does to it. An Update is sent in place of those that it names and that are live;
    if none of them is, it is sent all the same, because it is in force. A Cancel stops whatever live alert it names.
    """
    action = ACTIONS[alert.status, alert.msg_type]
    if action is Action.REFUSE:
        return Decision(Action.REFUSE, (), _REASONS[alert.status, alert.msg_type])
    if action is Action.SEND:
        return Decision(Action.SEND)
    found: dict[UUID, list[Known]] = {}
    for each in known:
        # Several may have one name: one that was refused under another id must not hide one that is live.
        found.setdefault(each.reference.alert_id, []).append(each)
    nobody: list[Known | None] = [None]
    named = [
        (reference, standing_of(alert, reference, entry), entry)
        for reference in dict.fromkeys(alert.referred)
        for entry in [*_not_refused(found.get(reference.alert_id, []))] or nobody
    ]
    for refusal, words in WORDS.items():
        for reference, standing, entry in named:
            if standing is refusal and EFFECTS[standing, alert.msg_type] is Effect.REFUSE:
                return _refuse(
                    words.format(reference=reference, verb=_VERBS[action], alert=alert, known=entry)
                    + _advice(action, entry)
                )
    effects: dict[Effect, list[tuple[Reference, Known | None]]] = {}
    for reference, standing, entry in named:
        effects.setdefault(EFFECTS[standing, alert.msg_type], []).append((reference, entry))
    live = tuple(dict.fromkeys(e.alert_id for _, e in effects.get(Effect.WITHDRAW, ()) if e is not None))
    if action is Action.STOP and (live or Effect.HOLD in effects or Effect.NOTHING in effects):
        return _stop([(reference, entry) for reference, _, entry in named], live)
    if Effect.HOLD in effects and not live:
        held = effects[Effect.HOLD][0][0]
        return _refuse(f"references names {held}, which was cancelled; publish it as an Alert if people are to get it")
    missed = [str(reference) for reference, _ in effects.get(Effect.MISS, ())]
    if missed and not live and Effect.NOTHING not in effects:
        return _refuse(
            f"references names no alert that is known here ({' '.join(missed)}); check sender,identifier,sent"
            + (_advice(action, None) if action is Action.STOP else "")
        )
    remembered = [reference for reference, _ in effects.get(Effect.REMEMBER, ())]
    unknown = [*missed, *map(str, remembered)]
    return Decision(
        action,
        live,
        f"not known here: {' '.join(unknown)}" if unknown else "",
        tuple(reference.alert_id for reference in remembered),
    )


def _stop(named: list[tuple[Reference, Known | None]], live: tuple[UUID, ...]) -> Decision:
    """What a Cancel does that names known alerts: refused if it stops nothing and leaves an Update on its way."""
    successors = [each for _, entry in named if entry is not None for each in entry.successors if each.live]
    left = tuple(dict.fromkeys(each.alert_id for each in successors if each.alert_id not in live))
    reason = ("" if live else STOPPED_NOTHING) + describe_stops(named, left)
    return Decision(Action.REFUSE if left and not live else Action.STOP, live, reason, left=left)


def _not_refused(entries: list[Known]) -> list[Known]:
    """Without those that were refused, unless all were."""
    return [entry for entry in entries if entry.state is not AlertState.REFUSED] or entries


def _advice(action: Action, known: Known | None) -> str:
    if action is not Action.STOP:
        return "; publish it as an Alert if people are to get it"
    if known is None:
        return "; `broadcast alert cancel ID` stops an alert by its id, which `broadcast alert list` shows"
    return f"; `broadcast alert cancel {known.alert_id}` stops it, whoever sent it"


def _refuse(reason: str) -> Decision:
    return Decision(Action.REFUSE, (), reason)


WORDS: dict[Standing, str] = {
    Standing.ANOTHER_SENDER: "only the sender of {reference} can {verb} it, and this is {alert.sender}",
    Standing.ANOTHER_STATUS: "status {alert.status} cannot {verb} {reference}, whose status is {known.status}",
    Standing.SENT_LATER: "references names {reference}, which was sent later than this Update",
    Standing.REPLACED_LATER: "references names {reference}, which an Update has replaced that was sent later than this"
    " one",
}
"""Why a message is refused, by where an alert that it names stands. The first that fits is said."""

_VERBS = {Action.SUPERSEDE: "update", Action.STOP: "cancel"}

_REASONS = {
    (status, msg_type): f"status {status} is not for recipients; nothing is sent"
    if status in (Status.SYSTEM, Status.DRAFT)
    else f"msgType {msg_type} answers another system; nothing is sent"
    for (status, msg_type), action in ACTIONS.items()
    if action is Action.REFUSE
}
