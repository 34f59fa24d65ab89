"""The rules of sending: whether a job may be submitted, and what an answer means for it. Pure."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, NamedTuple

from broadcast.lifecycle.decisions import may_carry
from broadcast.smpp.codec.command_status import (
    RMSGQFUL,
    RTHROTTLED,
    UNANSWERED_MEANING,
    Follow,
    Meaning,
    OutcomeClass,
    explain_status,
    meaning_of,
)
from schemas.control import Control
from schemas.job import Job
from schemas.status import Outcome

UNANSWERED: Final = -1
"""Stands for the command_status of a submit that nothing answered."""

JITTER_SHARE: Final = 0.2
"""A delay is lengthened by up to this share of itself, so that what was refused together does not return together."""

_OUTCOMES: Final = {
    Follow.NEXT_ATTEMPT: Outcome.REFUSED_FOR_NOW,
    Follow.OTHER_ACCOUNT: Outcome.REFUSED,
    Follow.SAME_SESSION: Outcome.REFUSED_FOR_NOW,
    Follow.RESEND: Outcome.UNKNOWN,
}

_PACING: Final = frozenset({RTHROTTLED, RMSGQFUL})


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


def assess(control: Control | None, *, stopped: bool, live: bool, now: int, absent: bool) -> Assessment:
    """Whether an alert's jobs may be submitted at `now`, in milliseconds since the epoch.

    `live` is the route's. `absent` says that control was read beyond the instant at which the job came, so that a
    record that is not there does not exist. A stop decides before all else: it may be all that control has.
    """
    if stopped:
        return Assessment(Eligibility.CANCEL, "stopped")
    if control is None:
        return Assessment(Eligibility.FAIL, "no control record") if absent else _WAIT
    if not may_carry(control.status, live):
        kind = "live" if live else "simulated"
        return Assessment(Eligibility.FAIL, f"status {control.status} may not take a {kind} route")
    if control.expires_at <= now:
        return Assessment(Eligibility.EXPIRE, "expired")
    return _SUBMIT


def meaning_of_answer(command_status: int, own: Mapping[int, str]) -> Meaning:
    """What an answer means, or `UNANSWERED`; `own` is the account's `command_status`."""
    return UNANSWERED_MEANING if command_status == UNANSWERED else meaning_of(command_status, own)


def outcome_of(meaning: Meaning) -> Outcome:
    """The outcome of one submit."""
    if meaning.follow is Follow.NOTHING:
        return Outcome.ACCEPTED if meaning.outcome_class is OutcomeClass.ACCEPTED else Outcome.REFUSED
    return _OUTCOMES[meaning.follow]


def reason_of(command_status: int, own: Mapping[int, str]) -> str:
    """The reason of an outcome for people; empty for an accepted submit."""
    if command_status == UNANSWERED:
        return UNANSWERED_MEANING.words
    return explain_status(command_status, own) if command_status else ""


def wants_retry(outcome: Outcome, policy: str) -> bool:
    """Whether a submit with this outcome is tried again; `policy` is the lane's for unknown: `resend` or `hold`."""
    return outcome is Outcome.REFUSED_FOR_NOW or (outcome is Outcome.UNKNOWN and policy == "resend")


def choose_delay(delays: Sequence[int], attempt: int, statuses: Sequence[int]) -> int:
    """The delay in seconds after an attempt: later attempts wait longer.

    Only the first delay applies where the SMSC was submitted to too fast or did not answer: neither says anything of
    the message.
    """
    if all(status in _PACING or status == UNANSWERED for status in statuses):
        return delays[0]
    return delays[min(attempt - 1, len(delays) - 1)]


def longest_wait_ms(delay_seconds: int) -> int:
    """The most that a job on the topic of a delay has to wait after its record, in milliseconds."""
    return int(delay_seconds * 1000 * (1 + JITTER_SHARE))


def retry_job(job: Job, segments: tuple[int, ...], *, unknown: bool, due_at: int) -> Job:
    """The next attempt at `segments` of a job; an unanswered one may have reached the phone."""
    return Job(
        alert_id=job.alert_id,
        recipient_id=job.recipient_id,
        msisdn=job.msisdn,
        variant=job.variant,
        attempt=job.attempt + 1,
        text=job.text,
        segments=segments,
        due_at=due_at,
        possible_duplicate=job.possible_duplicate or unknown,
    )
