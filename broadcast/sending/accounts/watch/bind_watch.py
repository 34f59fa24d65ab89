"""Which binds are not bound, why, and when the next try is: on `/readyz`, and as an alarm."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from broadcast.alarms import BIND_DOWN, Alarms
from broadcast.clock import epoch_milliseconds
from broadcast.health import Health
from broadcast.sending.accounts.binds import AccountBinds
from broadcast.sending.accounts.health.breaker import State
from broadcast.smpp.bind_state import BindPhase

GRACE_SECONDS: Final = 5.0
"""A bind that is down for longer is an alarm: most that are lost are bound again within a second."""
ADVICE: Final = "Look the reason up in docs/how-to/bind-down.md; meanwhile"
NEWS_MS: Final = 1_500
"""A next try that is later by more is news; less is another bind of the same account."""


@dataclass(frozen=True, slots=True)
class BindReport:
    """How many binds of an account are bound; why the last one is not, and when it is tried again.

    `stopped` says why the account gets no work though it is bound, `next_probe_at` when its pause is over. `reason` is
    empty while the first try runs. Times are milliseconds since the epoch; `next_try_at` is None while a try runs,
    `next_probe_at` when the next messages are the probe. `submits`: one of those bound is for submits. `late` says that
    its SMSC answers late, or not at all for some seconds; empty if it does not.
    """

    account: str
    binds: int
    bound: int
    reason: str = ""
    next_try_at: int | None = None
    stopped: str = ""
    next_probe_at: int | None = None
    submits: bool = True
    late: str = ""

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
            when = "with the next messages" if self.next_probe_at is None else f"at {_write_time(self.next_probe_at)}"
            return f"gets no work but a probe now and then: {self.stopped}; next try {when}"
        if self.complete and self.late:
            return self.late
        text = f"{self.bound} of {self.binds} binds: {self.reason or 'the first try is not over'}"
        if self.next_try_at is None:
            return text
        return f"{text}; next try at {_write_time(self.next_try_at)}"


def _write_time(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%H:%M:%S} UTC"


def report_binds(binds: AccountBinds, now: float) -> BindReport:
    """The report of an account at `now`, monotonic seconds, by the states of its binds."""
    breaker = binds.breaker
    pause = breaker.next_probe_at - now if breaker.state is State.OPEN else None
    states = [state for state in binds.pool.bind_states() if state.phase is not BindPhase.UNBINDING]
    down = [state for state in states if state.phase is not BindPhase.BOUND]
    tries = [state.next_attempt_at for state in down if state.next_attempt_at is not None]
    trying = any(state.phase is BindPhase.CONNECTING for state in down)
    return BindReport(
        account=binds.account.name,
        binds=binds.account.all_binds,
        bound=len(states) - len(down),
        reason=_explain([str(state.error) for state in down if state.error is not None]),
        next_try_at=min(tries) if tries and not trying else None,
        stopped=breaker.reason,
        next_probe_at=None if pause is None else epoch_milliseconds() + int(pause * 1000),
        submits=bool(binds.pool.sessions),
        late=binds.lateness.describe(),
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


def _explain_meanwhile(report: BindReport, reports: Sequence[BindReport]) -> str:
    """Who takes the work while not all binds of an account are bound."""
    if any(other.working for other in reports if other.account != report.account):
        return "other accounts of the route take the work"
    if report.working:
        return "the binds of this account that are bound take the work"
    return "nothing of this route is sent: no other account of it works"


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
        self._meanwhile: Final[dict[str, str]] = {}
        self._shown: Final[set[str]] = set()

    def look(self, now: float) -> None:
        """Say how the binds are at `now`, monotonic seconds."""
        reports = [report_binds(binds, now) for binds in self._accounts]
        working = any(report.working for report in reports)
        for report in reports:
            self._show(report, working=working)
            self._alarm(report, _explain_meanwhile(report, reports), now)
        for account in self._shown - {report.account for report in reports}:
            self._forget(account)

    def _show(self, report: BindReport, *, working: bool) -> None:
        name = f"account {report.account}"
        self._shown.add(report.account)
        if report.complete and not report.stopped and not report.late:
            self._health.release(name)
        elif working:
            self._health.degrade(name, report.describe())
        else:
            self._health.hold(name, report.describe(), outside=bool(report.reason or report.stopped))

    def _alarm(self, report: BindReport, meanwhile: str, now: float) -> None:
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
        raised, detail = self._raised.get(account), f"{report.describe()}. {ADVICE} {meanwhile}"
        if raised is None:
            self._alarms.raise_soon(BIND_DOWN, subject, detail)
        elif not is_news(report, raised) and self._meanwhile.get(account) == meanwhile:
            return
        else:
            self._alarms.renew_soon(BIND_DOWN, subject, detail)
        self._raised[account], self._meanwhile[account] = report, meanwhile

    def _forget(self, account: str) -> None:
        self._shown.discard(account)
        self._health.release(f"account {account}")
        self._down_since.pop(account, None)
        self._meanwhile.pop(account, None)
        if self._raised.pop(account, None) is not None:
            self._alarms.end_soon(BIND_DOWN, self._subject(account))

    def _subject(self, account: str) -> str:
        return f"{account}, sender {self._slot}"
