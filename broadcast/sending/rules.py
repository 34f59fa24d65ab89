"""The rules of sending: whether a job may be submitted. Pure."""

from enum import Enum
from typing import Final, NamedTuple

from broadcast.lifecycle.decisions import may_carry
from schemas.control import Control
from schemas.job import Job
from schemas.status import Outcome

UNANSWERED: Final = -1
"""Stands for the command_status of a submit that nothing answered."""

JITTER_SHARE: Final = 0.2
"""A delay is lengthened by up to this share of itself, so that what was refused together does not return together."""


class Eligibility(Enum):
    """What to do with a job that has not been submitted.

    Submit it, let it wait for its control record, or give it an outcome without a submit.
    """

    SUBMIT = "submit"
    WAIT = "wait"
    CANCEL = "cancel"
    EXPIRE = "expire"
    FAIL = "fail"


OUTCOME_OF: Final = {
    Eligibility.CANCEL: Outcome.CANCELLED,
    Eligibility.EXPIRE: Outcome.EXPIRED,
    Eligibility.FAIL: Outcome.FAILED,
}
"""The outcomes of jobs that are not submitted."""


class Assessment(NamedTuple):
    """Whether jobs may be submitted, and for people why not."""

    eligibility: Eligibility
    reason: str = ""


_SUBMIT: Final = Assessment(Eligibility.SUBMIT)
_WAIT: Final = Assessment(Eligibility.WAIT)


def assess(
    control: Control | None, *, stopped: bool, live: bool, now: int, absent: bool, simulated: bool = False
) -> Assessment:
    """Whether an alert's jobs may be submitted at `now`, in milliseconds since the epoch.

    `live` and `simulated` are the route's. `absent` says that control was read beyond the instant at which the job
    came, so that a record that is not there does not exist. A stop decides before all else: it may be all that control
    has.
    """
    if stopped:
        return Assessment(Eligibility.CANCEL, "stopped")
    if control is None:
        return Assessment(Eligibility.FAIL, "no control record") if absent else _WAIT
    if not may_carry(control.status, live):
        kind = "live" if live else "test"
        return Assessment(Eligibility.FAIL, f"status {control.status} may not take a {kind} route")
    if simulated and control.for_phones:
        # Planner and sender read other routes files: nobody would learn that no phone was reached.
        why = (
            "the route is simulated, and the alert was planned for phones; start planner and sender on one routes file"
        )
        return Assessment(Eligibility.FAIL, why)
    if control.expires_at <= now:
        return Assessment(Eligibility.EXPIRE, "expired")
    return _SUBMIT


def outcome_of_unsent(job: Job, outcome: Outcome, reason: str) -> tuple[Outcome, str]:
    """The outcome of a job that is not submitted, and why: unknown if the phone may have the message.

    An earlier sender may have written a job that is a possible duplicate; the SMSC has the segments that a job lacks.
    """
    if job.possible_duplicate:
        return Outcome.UNKNOWN, f"{reason}; an earlier attempt or sender may have sent it"
    if job.segments:
        return Outcome.UNKNOWN, f"{reason}; an earlier attempt may have sent some segments"
    return outcome, reason


def longest_wait_ms(delay_seconds: int) -> int:
    """The most that a job on the topic of a delay has to wait after its record, in milliseconds."""
    return int(delay_seconds * 1000 * (1 + JITTER_SHARE))
