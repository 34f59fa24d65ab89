"""What became of one message, attempt by attempt, from its history in the audit."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from broadcast.smpp.codec.command_status import explain_status

NEXT_STEPS: Final[Mapping[str, str]] = {
    "queued": "`broadcast alarms list` and `/readyz` of the sender say which account does not work, and why",
    "submitted": "the SMSC has it, and no receipt came: wait, look at `broadcast audit unmatched`, or ask the operator "
    "with the account and the SMSC's message id",
    "undelivered": "the network could not deliver it: check the number, or ask the operator with the SMSC's message id",
    "rejected": "the SMSC refuses it: correct what its answer names (docs/carriers.md), have the routes file read "
    "again, and send another one",
    "expired": "it was not delivered in time: `broadcast alarms list` says which account does not work, and why",
    "unknown": "the SMSC did not answer: ask the operator whether it has the message, with the account and the time",
    "failed": "it was not submitted: correct what the reason names, and send another one",
    "cancelled": "the alert was stopped: `broadcast alert show ALERT_ID` says by whom",
    "suppressed": "the directory says that this number gets nothing: change it there, or take another number",
}
"""What to do next, by the state of the recipient."""

MEANINGS: Final[Mapping[str, str]] = {
    "queued": "no SMSC has taken it yet",
    "submitted": "the SMSC has taken it; whether the phone has it is not known yet",
    "delivered": "the phone has it, as the receipt says",
    "undelivered": "the SMSC has taken it, and the network could not deliver it",
    "rejected": "the SMSC refuses it",
    "expired": "it was not delivered in time",
    "unknown": "it was written to the SMSC, and nothing answered",
    "failed": "it was not submitted",
    "cancelled": "the alert was stopped",
    "suppressed": "the directory says that this number gets nothing",
}
"""The state of the recipient in words."""

SIMULATED_MEANING: Final = "SIMULATED: a simulator has taken it, and no phone was reached"
"""What `delivered` means by a simulated route."""

_SHOWN: Final = (
    "attempt",
    "segment",
    "account",
    "bind",
    "outcome",
    "message_id",
    "reason",
    "state",
    "possible_duplicate",
)


def describe_stay(expires_at: str | None) -> str:
    """What happens to a message that no SMSC has taken; `expires_at` is ISO 8601."""
    until = "" if expires_at is None else f" until {datetime.fromisoformat(expires_at).astimezone(UTC):%H:%M:%S} UTC"
    return f"it stays, and is sent as soon as an account works,{until or ' until it expires'}: do not send it again"


def find_attempts(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The answers and receipts among the events of a history, oldest first, each with its command_status in words."""
    found = []
    for event in events:
        if event["kind"] not in ("status", "receipt"):
            continue
        facts = event["facts"]
        attempt = {"kind": "answer" if event["kind"] == "status" else "receipt", "at": event["at"]}
        attempt |= {name: facts[name] for name in _SHOWN if name in facts}
        if event["kind"] == "status" and facts.get("error"):
            attempt["command_status"] = f"0x{facts['error']:08X}"
            attempt["meaning"] = facts.get("reason") or explain_status(facts["error"])
        found.append(attempt)
    return found


def describe_attempts(attempts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Each answer and receipt in one line, by account."""
    for attempt in attempts:
        account = attempt.get("account", "")
        if attempt["kind"] == "receipt":
            yield f"receipt by account {account}: {attempt.get('state', '-')}, SMSC message id {_id_of(attempt)}"
            continue
        by = f"by account {account}" if account else "without an account"
        if attempt.get("bind"):
            by += f", bind {attempt['bind']}"
        text = f"attempt {attempt['attempt']} {by}: {attempt['outcome']}"
        if attempt.get("message_id"):
            text += f", SMSC message id {_id_of(attempt)}"
        if why := attempt.get("meaning") or attempt.get("reason"):
            text += f": {why}"
        if "command_status" in attempt:
            text += f" (command_status {attempt['command_status']})"
        yield text


def _id_of(attempt: Mapping[str, Any]) -> str:
    return attempt.get("message_id") or "-"
