"""Which binds are not bound, why, and when the next try is: on `/readyz`, and as an alarm."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from broadcast.alarms import BIND_DOWN, Alarms
from broadcast.health import Health
from broadcast.sending.accounts.binds import AccountBinds
from broadcast.smpp.bind_state import BindPhase

GRACE_SECONDS: Final = 5.0
"""A bind that is down for longer is an alarm: most that are lost are bound again within a second."""
SILENT_SECONDS: Final = 5.0
"""An SMSC that leaves submits unanswered for so long is told on `/readyz`, long before its session counts as mute."""
NEWS_MS: Final = 1_500
"""A next try that is later by more is news; less is another bind of the same account."""


@dataclass(frozen=True, slots=True)
class BindReport:
    """How many binds of an account are bound; why the last one is not, and when it is tried again.

    `stopped` says why the account gets no work though it is bound. `reason` is empty while the first try runs.
    `next_try_at` is milliseconds since the epoch, None while one runs. `submits`: one of those bound is for submits.
    `pending` submits of the bind that is silent for longest had no answer for `silent_seconds`.
    """

    account: str
    binds: int
    bound: int
    reason: str = ""
    next_try_at: int | None = None
    stopped: str = ""
    submits: bool = True
    pending: int = 0
    silent_seconds: float = 0.0

    @property
    def silent(self) -> bool:
        """Whether the SMSC has left submits unanswered for some seconds; it may answer them all at once."""
        return self.silent_seconds >= SILENT_SECONDS

    @property
    def working(self) -> bool:
        """Whether the account can take work."""
        return bool(self.bound) and self.submits and not self.stopped

    @property
    def complete(self) -> bool:
        """Whether all binds are bound."""
        return self.bound >= self.binds

    def describe(self) -> str:
        """The report for people, without the account's name."""
        if self.complete and self.stopped:
            return f"gets no work but a probe now and then: {self.stopped}"
        if self.complete and self.silent:
            return f"{self.pending} submits of a bind; unanswered for {self.silent_seconds:.0f} s"
        text = f"{self.bound} of {self.binds} binds: {self.reason or 'the first try is not over'}"
        if self.next_try_at is None:
            return text
        return f"{text}; next try at {datetime.fromtimestamp(self.next_try_at / 1000, UTC):%H:%M:%S} UTC"


def report_binds(binds: AccountBinds) -> BindReport:
    """The report of an account, by the states of its binds."""
    states = [state for state in binds.pool.bind_states() if state.phase is not BindPhase.UNBINDING]
    down = [state for state in states if state.phase is not BindPhase.BOUND]
    tries = [state.next_attempt_at for state in down if state.next_attempt_at is not None]
    silent = max(binds.pool.sessions, key=lambda session: session.unanswered_seconds(), default=None)
    trying = any(state.phase is BindPhase.CONNECTING for state in down)
    return BindReport(
        account=binds.account.name,
        binds=binds.account.all_binds,
        bound=len(states) - len(down),
        reason=_explain([str(state.error) for state in down if state.error is not None]),
        next_try_at=min(tries) if tries and not trying else None,
        stopped=binds.breaker.reason,
        submits=bool(binds.pool.sessions),
        pending=silent.unanswered if silent else 0,
        silent_seconds=silent.unanswered_seconds() if silent else 0.0,
    )


def _explain(errors: Sequence[str]) -> str:
    """The reasons of binds that are down, the most frequent one first."""
    counts = Counter(errors)
    if len(counts) == 1:
        return errors[0]
    return "; ".join(f"{count} of them: {error}" for error, count in counts.most_common())


def is_news(report: BindReport, told: BindReport) -> bool:
    """Whether an account that is down is otherwise down than was told; while a try runs, nothing is news."""
    if report.next_try_at is None:
        return False
    later = report.next_try_at - (told.next_try_at or 0)
    return later > NEWS_MS or (report.reason, report.bound) != (told.reason, told.bound)


class BindWatch:
    """Watches the accounts of a route: without any that is bound, the process is not ready."""

    def __init__(self, slot: str, accounts: Sequence[AccountBinds], health: Health, alarms: Alarms) -> None:
        """`slot` names this sender among the others of the route; `accounts` may change while they are watched."""
        self._slot: Final = slot
        self._accounts: Final = accounts
        self._health: Final = health
        self._alarms: Final = alarms
        self._down_since: Final[dict[str, float]] = {}
        self._raised: Final[dict[str, BindReport | None]] = {}
        self._shown: Final[set[str]] = set()

    def look(self, now: float) -> None:
        """Say how the binds are at `now`, monotonic seconds."""
        reports = [report_binds(binds) for binds in self._accounts]
        working = any(report.working for report in reports)
        for report in reports:
            self._show(report, working=working)
            self._alarm(report, now)
        for account in self._shown - {report.account for report in reports}:
            self._forget(account)

    def _show(self, report: BindReport, *, working: bool) -> None:
        name = f"account {report.account}"
        self._shown.add(report.account)
        if report.complete and not report.stopped and not report.silent:
            self._health.release(name)
        elif working:
            self._health.degrade(name, report.describe())
        else:
            self._health.hold(name, report.describe(), outside=bool(report.reason or report.stopped))

    def _alarm(self, report: BindReport, now: float) -> None:
        account, subject = report.account, self._subject(report.account)
        if report.complete:
            self._down_since.pop(account, None)
            # Without an entry: one that this slot has raised in a run before may be open, and nobody else ends it.
            if self._raised.get(account, report) is not None:
                self._alarms.end_soon(BIND_DOWN, subject)
            self._raised[account] = None
            return
        if now - self._down_since.setdefault(account, now) < GRACE_SECONDS or not report.reason:
            return
        raised = self._raised.get(account)
        if raised is None:
            self._alarms.raise_soon(BIND_DOWN, subject, report.describe())
        elif not is_news(report, raised):
            return
        else:
            self._alarms.renew_soon(BIND_DOWN, subject, report.describe())
        self._raised[account] = report

    def _forget(self, account: str) -> None:
        self._shown.discard(account)
        self._health.release(f"account {account}")
        self._down_since.pop(account, None)
        if self._raised.pop(account, None) is not None:
            self._alarms.end_soon(BIND_DOWN, self._subject(account))

    def _subject(self, account: str) -> str:
        return f"{account}, sender {self._slot}"
