"""What follows the answers to one job: nothing, a new attempt, or a resend. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from broadcast.routing.routes import choose_delay
from broadcast.sending.accounts.templates import WHOLE
from broadcast.sending.rules import UNANSWERED
from broadcast.smpp.codec.command_status import (
    UNANSWERED_MEANING,
    Follow,
    Meaning,
    OutcomeClass,
    explain_status,
    meaning_of,
)
from schemas.job import Job
from schemas.status import Outcome

RETRIABLE: Final = frozenset([Follow.NEXT_ATTEMPT, Follow.SAME_SESSION, Follow.OTHER_ACCOUNT])
"""What follows where the SMSC did not take a submit, and another attempt may succeed."""


MOST_COPIES: Final = 3
"""Times that a message is sent whole again because the session with some of its segments has ended."""


class Sequel(NamedTuple):
    """What follows the answers to all segments of a job that were submitted.

    `follow` is `nothing`, `next_attempt`, `other_account` or `resend`. `segments` are those of the next attempt; empty
    means all, as a new copy. `doubles`: a phone may have what the next attempt sends. `held`: a submit was not
    answered, and is not sent again. `blamed`: what an account has refused is final, because the message is to blame.
    `by_any`: where another account has refused the job too, each account may take the next attempt.
    """

    follow: Follow = Follow.NOTHING
    segments: tuple[int, ...] = ()
    doubles: bool = False
    held: bool = False
    blamed: bool = False
    by_any: bool = False


def meaning_of_answer(command_status: int, own: Mapping[int, str]) -> Meaning:
    """What an answer means, or `UNANSWERED`; `own` is the account's `command_status`."""
    return UNANSWERED_MEANING if command_status == UNANSWERED else meaning_of(command_status, own)


def decide(
    job: Job,
    meanings: Sequence[tuple[int, Meaning]],
    *,
    total: int,
    resend_limit: int,
    elsewhere: bool,
    blamed: bool,
) -> Sequel:
    """What follows answers of these meanings, by segment number, to a job whose text has `total` segments.

    `resend_limit` is the most that an unanswered message is sent again; `elsewhere` says whether the route has another
    account that may take it, `blamed` that the message is to blame for what an account refuses. Otherwise it may be the
    account: it is tried again until the alert expires, so nobody is lost to an account that takes nothing.
    A copy travels whole: only the session that has its other segments takes some of them.
    """
    follows = {meaning.follow for _, meaning in meanings}
    taken = bool(job.segments) or any(meaning.outcome_class is OutcomeClass.ACCEPTED for _, meaning in meanings)
    if Follow.RESEND in follows:
        if job.resends >= resend_limit:
            return Sequel(held=True, blamed=blamed)
        return Sequel(Follow.RESEND, doubles=True)
    if Follow.OTHER_ACCOUNT in follows and elsewhere and not job.refused_by:
        return Sequel(Follow.OTHER_ACCOUNT, doubles=taken)
    final = {Follow.NOTHING, Follow.OTHER_ACCOUNT} if blamed else {Follow.NOTHING}
    again = tuple(number for number, meaning in meanings if meaning.follow not in final)
    if not again:
        return Sequel(blamed=blamed)
    segments = () if WHOLE in again or len(again) == total else again
    by_any = Follow.OTHER_ACCOUNT in follows and not blamed
    return Sequel(Follow.NEXT_ATTEMPT, segments, blamed=blamed, by_any=by_any)


def outcome_of(meaning: Meaning, sequel: Sequel) -> Outcome:
    """The outcome of one submit; what an account refuses is final where the message is to blame."""
    match meaning.follow:
        case Follow.NOTHING:
            return Outcome.ACCEPTED if meaning.outcome_class is OutcomeClass.ACCEPTED else Outcome.REFUSED
        case Follow.OTHER_ACCOUNT:
            return Outcome.REFUSED if sequel.blamed else Outcome.REFUSED_FOR_NOW
        case Follow.RESEND:
            return Outcome.UNKNOWN
        case _:
            return Outcome.REFUSED_FOR_NOW


def reason_of(command_status: int, own: Mapping[int, str]) -> str:
    """The reason of an outcome for people; empty for an accepted submit."""
    if command_status == UNANSWERED:
        return UNANSWERED_MEANING.words
    return explain_status(command_status, own) if command_status else ""


def choose_pause(
    delays: Sequence[int], job: Job, sequel: Sequel, meanings: Sequence[Meaning], *, least: int = 0
) -> int:
    """The pause in seconds before the next attempt: later ones wait longer.

    A resend waits at least the second pause: the answer may only be late. Another account needs no more than the first,
    and what was throttled one less than other refusals. `least` is what the account asks for after such an answer.
    """
    if sequel.follow is Follow.RESEND:
        step = 1 + job.resends
    elif sequel.follow is Follow.OTHER_ACCOUNT:
        step = 0
    elif all(each.follow is Follow.SAME_SESSION for each in meanings):
        step = max(0, job.attempt - 2)
    else:
        step = job.attempt - 1
    return choose_delay(delays, step, 0 if sequel.follow is Follow.OTHER_ACCOUNT else least)


def next_job(job: Job, sequel: Sequel, *, account: str, session: str, due_at: int) -> Job:
    """The next attempt after one by `account` on `session`; `due_at` in milliseconds since the epoch."""
    resent = sequel.follow is Follow.RESEND
    refused_by = job.refused_by
    if sequel.segments:
        # It took the other segments, so it may have these.
        refused_by = tuple(each for each in refused_by if each != account)
    elif sequel.by_any and account not in refused_by:
        refused_by = ()
    return Job(
        alert_id=job.alert_id,
        recipient_id=job.recipient_id,
        msisdn=job.msisdn,
        variant=job.variant,
        attempt=job.attempt + 1,
        text=job.text,
        segments=sequel.segments,
        due_at=due_at,
        possible_duplicate=job.possible_duplicate or sequel.doubles,
        copies=job.copies,
        resends=job.resends + resent,
        refused_by=(*refused_by, account) if sequel.follow is Follow.OTHER_ACCOUNT else refused_by,
        session=session if sequel.segments else "",
        unanswered_by=tuple(dict.fromkeys((*job.unanswered_by, account))) if resent else job.unanswered_by,
    )


def withdrawal_of(job: Job) -> Job:
    """The record that withdraws a job; without the number, so that nobody can send it."""
    return Job(job.alert_id, job.recipient_id, "", attempt=job.attempt, withdrawn=True)


def send_whole(job: Job) -> None:
    """Make a whole copy of a job of some segments, whose session has ended; the phone may have the others."""
    job.segments, job.session, job.possible_duplicate = (), "", True
    job.copies += 1
