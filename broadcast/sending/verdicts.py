"""Whether an alert's jobs may be submitted now. Pure."""

from enum import Enum
from typing import Final, NamedTuple

from broadcast.lifecycle.guards import may_carry
from schemas.control import Control
from schemas.status import Outcome


class Verdict(Enum):
    """What to do with a job: submit it, let it wait for its control record, or give it an outcome of our own."""

    SUBMIT = "submit"
    WAIT = "wait"
    CANCEL = "cancel"
    EXPIRE = "expire"
    FAIL = "fail"


OUTCOME_OF: Final = {
    Verdict.CANCEL: Outcome.CANCELLED,
    Verdict.EXPIRE: Outcome.EXPIRED,
    Verdict.FAIL: Outcome.FAILED,
}
"""The local outcomes, of jobs that are not submitted."""


class Ruling(NamedTuple):
    """A verdict, and for people why."""

    verdict: Verdict
    reason: str = ""


_SUBMIT: Final = Ruling(Verdict.SUBMIT)
_WAIT: Final = Ruling(Verdict.WAIT)


def judge(control: Control | None, *, stopped: bool, live: bool, now: int, absent: bool) -> Ruling:
    """The ruling on an alert's jobs at `now`, in milliseconds since the epoch.

    `live` is the route's. `absent` says that control has been read beyond the job's coming, so that a record that is
    not there does not exist. A stop goes before everything: it may be all that control has.
    """
    if stopped:
        return Ruling(Verdict.CANCEL, "stopped")
    if control is None:
        return Ruling(Verdict.FAIL, "no control record") if absent else _WAIT
    if not may_carry(control.status, live):
        kind = "live" if live else "simulated"
        return Ruling(Verdict.FAIL, f"status {control.status} may not take a {kind} route")
    if control.expires_at <= now:
        return Ruling(Verdict.EXPIRE, "expired")
    return _SUBMIT
