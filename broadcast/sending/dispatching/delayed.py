"""Jobs of delay topics that not every session may take: withdrawn, of one session, refused, or not answered."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from broadcast.clock import monotonic
from broadcast.sending.accounts.binds import AccountBinds
from broadcast.sending.accounts.selection import find_takers, may_resend
from broadcast.sending.answers.sequel import MOST_COPIES, send_whole
from broadcast.sending.answers.tokens import Token
from broadcast.sending.answers.unanswered import JobKey, Unanswered, key_of
from broadcast.sending.outbox import Outbox
from broadcast.sending.protocol import SenderEvents
from broadcast.sending.sources import Run, Source
from schemas.job import Job
from schemas.status import Outcome


class DelayedJobs:
    """Sorts what comes up on a delay topic: a job that waits for a session holds up no other.

    `sessions` has the account's name of each session that gets work now, by the session's identity; `accounts` has
    these accounts by their names.
    """

    def __init__(self, outbox: Outbox, unanswered: Unanswered, events: SenderEvents) -> None:
        self.sessions: dict[str, str] = {}
        self.accounts: Mapping[str, AccountBinds] = {}
        self._outbox: Final = outbox
        self._unanswered: Final = unanswered
        self._events: Final = events

    def sort_out(self, source: Source[Token], now: int) -> None:
        """Drop what is withdrawn, and set aside what only some sessions may take, until another job is the first."""
        while source.runs and not source.poison_first:
            run = source.runs[0]
            if run.withdrawn:
                self._end_withdrawals(source, len(run))
            elif not self._drop_first(source, run) and not (run.restricted and self._sort_restricted(source, run, now)):
                return

    def before_withdrawn(self, source: Source[Token], run: Run, count: int) -> int:
        """How many of the first `count` jobs of a run come before one that is withdrawn."""
        if source.withdrawn or self._unanswered.withdrawn:
            for index, job in enumerate(run.jobs[run.start : run.start + count]):
                if self._is_withdrawn(source, job):
                    return index
        return count

    def take_back(self, source: Source[Token], now: int) -> None:
        """Let what was set aside and no session may take come up again as a whole copy, or wait anew."""
        for run in tuple(source.aside):
            named: Collection[JobKey] = ()
            if source.withdrawn or self._unanswered.withdrawn:
                named = {key_of(job) for job in run.jobs[run.start :] if self._is_withdrawn(source, job)}
            if named:
                self._drop_aside(source, run, named)
            elif not self._usable(run):
                jobs, offsets = source.cut(len(run), run)
                if run.segments:
                    self._send_whole(source, jobs, offsets, now)
                else:
                    self._wait_anew(source, jobs, offsets, now)

    def may_take(self, run: Run, session: str, account: str) -> bool:
        """Whether a session of an account may take a run that was set aside."""
        if run.segments:
            return run.session == session and account not in run.refused_by
        if not run.restricted:
            return True
        takers = self._takers(run)
        if not run.resent:
            return account in takers
        working = [name for name, binds in self.accounts.items() if binds.works]
        return may_resend(account, takers, working, run.unanswered_by)

    def _sort_restricted(self, source: Source[Token], run: Run, now: int) -> bool:
        """Sort the first run; False when it stays the first."""
        count = self.before_withdrawn(source, run, run.due(len(run), now))
        if not count or not self.sessions:
            return False
        if self._usable(run):
            if not source.progress.fits(count, run.offsets[run.start + count - 1]):
                self._events.beat_now()
                return False
            source.set_aside(count)
        elif run.segments:
            self._send_whole(source, *source.cut(count), now)
        else:
            self._wait_anew(source, *source.cut(count), now)
        return True

    def _usable(self, run: Run) -> bool:
        """Whether some session that gets work may take a run; no session at all is a reason to wait."""
        if not self.sessions:
            return True
        if run.segments:
            return self.sessions.get(run.session) not in {None, *run.refused_by}
        return bool(self._takers(run))

    def _takers(self, run: Run) -> Sequence[str]:
        """The accounts that may take a whole copy of a run."""
        now = monotonic()
        return find_takers(
            self.accounts, run.refused_by, lambda name: self.accounts[name].breaker.contents.blames(run.content, now)
        )

    def _send_whole(self, source: Source[Token], jobs: list[Job], offsets: list[int], now: int) -> None:
        """Send the whole message again, a stated number of times: an SMSC may cut its sessions without end."""
        pairs = list(zip(jobs, offsets, strict=True))
        again = [pair for pair in pairs if pair[0].copies < MOST_COPIES]
        ended = [pair for pair in pairs if pair[0].copies >= MOST_COPIES]
        for job, _ in again:
            send_whole(job)
        if ended:
            reason = f"some segments were refused on {MOST_COPIES + 1} sessions that ended; not sent again"
            self._outbox.add_unsent([job for job, _ in ended], Outcome.FAILED, reason, source.lane, now)
            source.progress.settle_unsent([offset for _, offset in ended])
        if again:
            source.put_back([job for job, _ in again], [offset for _, offset in again])

    def _wait_anew(self, source: Source[Token], jobs: list[Job], offsets: list[int], now: int) -> None:
        """Put jobs that no account may take now on their delay topic again: they are the same attempt."""
        for job in jobs:
            if self._is_withdrawn(source, job):
                continue
            job.due_at = now + source.delay_ms
            self._outbox.add_retry(job, source.partition)
        source.progress.settle_unsent(offsets)

    def _drop_first(self, source: Source[Token], run: Run) -> bool:
        """Drop the withdrawn jobs at the beginning of the first run; whether there were any."""
        if not source.withdrawn and not self._unanswered.withdrawn:
            return False
        count = 0
        while count < len(run) and self._is_withdrawn(source, run.jobs[run.start + count]):
            count += 1
        if count:
            source.progress.settle_unsent(source.cut(count)[1])
        return bool(count)

    def _end_withdrawals(self, source: Source[Token], count: int) -> None:
        """Records that withdraw a job come after it: what they name has come up, or was set aside."""
        jobs, offsets = source.cut(count)
        keys = set(map(key_of, jobs))
        for run in tuple(source.aside):
            self._drop_aside(source, run, keys)
        for key in keys:
            source.withdrawn.discard(key)
            self._unanswered.withdrawn.pop(key, None)
        source.progress.settle_unsent(offsets)

    def _drop_aside(self, source: Source[Token], run: Run, keys: Collection[JobKey]) -> None:
        jobs, offsets = source.cut(len(run), run)
        kept = [(job, offset) for job, offset in zip(jobs, offsets, strict=True) if key_of(job) not in keys]
        dropped = [offset for job, offset in zip(jobs, offsets, strict=True) if key_of(job) in keys]
        if kept:
            source.put_back([job for job, _ in kept], [offset for _, offset in kept])
        if dropped:
            source.progress.settle_unsent(dropped)

    def _is_withdrawn(self, source: Source[Token], job: Job) -> bool:
        key = key_of(job)
        return key in source.withdrawn or key in self._unanswered.withdrawn
