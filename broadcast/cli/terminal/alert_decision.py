"""Waiting for what the planner decides about an alert, and the exit code that says it."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from broadcast.api.client import Reader
from broadcast.errors import UnavailableError
from broadcast.lifecycle import FINAL_STATES, INCOMPLETE, AlertState
from broadcast.routing.simulation import note_of
from broadcast.text.counts import counted
from schemas.alert import MsgType

POLL_SECONDS: Final = 0.1
TELL_SECONDS: Final = 2.0
"""After so long without a decision the waiting is told."""

NOTHING_SENT_EXIT_CODE: Final = 3
"""Nobody gets the alert: it was refused, or ended before it had an audience; or a Cancel left an Update on its way."""
UNDECIDED_EXIT_CODE: Final = 4
"""Kafka has the alert, and nothing was decided in time: it may still be sent."""

UNDECIDED: Final = "it is kept and not decided: do not publish it again; `broadcast alert show {alert_id}` says more"


def await_decision(api: Reader, alert_id: str, wait_seconds: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """The alert once its audience is resolved or it has ended, or as it is after `wait_seconds`.

    An API that is away for a moment is asked again. `tell` hears what is waited for.
    """
    began_at = time.monotonic()
    deadline, tell_at = began_at + wait_seconds, began_at + TELL_SECONDS
    alert: dict[str, Any] = {"alert_id": alert_id, "state": AlertState.ACCEPTED.value, "reason": None, "audience": None}
    while True:
        why = ""
        try:
            alert = api.get(f"/v1/alerts/{alert_id}")
        except UnavailableError as error:
            why = str(error)
        now = time.monotonic()
        if is_decided(alert) or now >= deadline:
            return alert
        if now >= tell_at:
            why = why or alert["reason"] or "its audience is being resolved"
            tell(f"{alert['state']} for {now - began_at:.0f} s, waiting at most {wait_seconds:g} s: {why}")
            tell_at = now + max(TELL_SECONDS, wait_seconds / 5)
        time.sleep(POLL_SECONDS)


def is_decided(alert: dict[str, Any]) -> bool:
    """Whether it is known that people get the alert, or that nobody does."""
    return alert["state"] in FINAL_STATES or alert["state"] == AlertState.PENDING_APPROVAL or bool(alert["audience"])


def exit_code_of(alert: dict[str, Any]) -> int:
    """0 if people get the alert, or nothing more is sent of what a Cancel names; else why not."""
    if not is_decided(alert):
        return UNDECIDED_EXIT_CODE
    if is_incomplete(alert):
        return NOTHING_SENT_EXIT_CODE
    unsent = alert["state"] in FINAL_STATES - {AlertState.COMPLETED} and not alert["audience"]
    return NOTHING_SENT_EXIT_CODE if unsent else 0


def is_incomplete(alert: dict[str, Any]) -> bool:
    """Whether it is a Cancel that has stopped some alerts and left an Update on its way."""
    return any(event["event"] == INCOMPLETE for event in alert.get("events") or ())


def describe_decision(alert: dict[str, Any], *, waited: bool) -> Iterator[str]:
    """The state of an alert after the wait, and what to know of it."""
    state = alert["state"]
    if not waited:
        yield f"{state}: not decided yet; `broadcast alert show {alert['alert_id']}` says whether it is sent"
        return
    if not is_decided(alert):
        yield f"{state}: {alert['reason'] or 'its audience is being resolved'}"
        yield UNDECIDED.format(alert_id=alert["alert_id"])
        return
    audience = f" to {counted(alert['audience'], 'recipient')}" if alert["audience"] else ""
    yield f"{state}{audience}" + (f": {alert['reason']}" if alert["reason"] else "")
    if is_incomplete(alert):
        yield "this Cancel has not stopped everything: do what the reason says"
    elif alert.get("msg_type") == MsgType.CANCEL and exit_code_of(alert):
        yield "this Cancel has stopped nothing: do what the reason says"
    elif exit_code_of(alert) == NOTHING_SENT_EXIT_CODE:
        yield "nobody gets this alert: correct what the reason names, and publish it with a new identifier"
    if note := note_of(alert.get("simulated")):
        yield note
