"""How a watched alert has ended: the exit code, and a line with the reason and the next step."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from broadcast.api.client import Reader
from broadcast.cli.terminal.alert_decision import exit_code_of
from broadcast.errors import BroadcastError

NOT_ALL_REACHED_EXIT_CODE: Final = 5
"""The alert has ended, and nobody or not everybody of its audience is delivered."""

LOOKED_AT: Final = 500
"""So many deliveries are looked at for the most frequent reason: a page of the API."""

NOT_MISSED: Final = frozenset({"delivered", "suppressed"})
"""States of recipients who were reached, or who are not to be sent anything."""


def missed_of(counts: Mapping[str, int]) -> dict[str, int]:
    """How many recipients the alert was meant for and has not reached, by state, the most frequent first."""
    missed = {state: number for state, number in counts.items() if number and state not in NOT_MISSED}
    return dict(sorted(missed.items(), key=lambda each: -each[1]))


def exit_code_of_end(progress: Mapping[str, Any]) -> int:
    """0 if everybody is delivered; 3 if nobody was sent it, 4 if that is not decided, else 5."""
    code = exit_code_of(dict(progress))
    if code:
        return code
    return NOT_ALL_REACHED_EXIT_CODE if missed_of(progress["counts"]) else 0


def describe_end(progress: Mapping[str, Any], reason: str, alarms: Sequence[Mapping[str, Any]]) -> str:
    """Who was not reached, why, and what to do next; empty if everybody was. `alarms` are open ones about the alert."""
    missed = missed_of(progress["counts"])
    if not missed:
        return ""
    states = ", ".join(f"{state} {number:,}" for state, number in missed.items())
    parts = [f"not reached: {sum(missed.values()):,} of {progress['audience']:,}: {states}"]
    parts += [f"most frequent reason: {reason}"] if reason else []
    parts += [f"alarm {alarm['id']} ({alarm['kind']}) is open" for alarm in alarms]
    step = f"`broadcast audit deliveries {progress['alert_id']} --state {next(iter(missed))}`"
    parts.append(f"next: {step}{', `broadcast alarms list`' if alarms else ''}")
    return "; ".join(parts)


def find_reason(api: Reader, progress: Mapping[str, Any]) -> str:
    """The most frequent reason of those not reached, of the first `LOOKED_AT` in the state of most; else empty."""
    missed = missed_of(progress["counts"])
    state = next(iter(missed), "")
    if state == "failed" and progress.get("failed_reasons"):
        return str(next(iter(progress["failed_reasons"])))
    if not state:
        return ""
    try:
        page = api.get(f"/v1/alerts/{progress['alert_id']}/deliveries", state=state, limit=LOOKED_AT)
    except BroadcastError:
        return ""
    reasons = Counter(
        filter(None, (each["error"] or each["reason"] or each["receipt_state"] for each in page["deliveries"]))
    )
    return str(reasons.most_common(1)[0][0]) if reasons else ""
