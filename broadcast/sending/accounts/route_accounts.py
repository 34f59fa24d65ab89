"""The accounts of a route together: which of them gets the next work, and which of them does not work."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Final

import structlog

from broadcast import metrics
from broadcast.alarms import Alarms
from broadcast.clock import monotonic
from broadcast.health import Health
from broadcast.routing import Account
from broadcast.sending.accounts.binds import AccountBinds
from broadcast.sending.accounts.selection import order
from broadcast.sending.accounts.watch.bind_watch import BindWatch
from broadcast.sending.accounts.watch.breaker_watch import BreakerWatch
from broadcast.sending.accounts.watch.late_watch import LateWatch
from broadcast.sending.accounts.watch.poor_watch import PoorWatch
from broadcast.sending.accounts.watch.throttle_watch import ThrottleWatch
from broadcast.sending.answers.tokens import Token
from broadcast.sending.metrics import begin_account
from broadcast.sending.protocol import SenderEvents
from broadcast.smpp.rates.pacing import make_sent_count
from broadcast.smpp.rates.sliding_count import SlidingCount
from broadcast.smpp.session import Session

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 0.5

MakeBinds = Callable[[Account, SlidingCount], AccountBinds]
"""Makes the binds of an account, which count what they send where those before them did."""


class RouteAccounts:
    """The accounts that are in force, and the order in which they get work."""

    def __init__(
        self,
        accounts: Sequence[Account],
        slot: str,
        make_binds: MakeBinds,
        *,
        health: Health,
        alarms: Alarms,
        events: SenderEvents,
    ) -> None:
        """`slot` names this sender among the others of the route."""
        self._make_binds: Final = make_binds
        self._sent: Final[defaultdict[str, SlidingCount]] = defaultdict(make_sent_count)
        for account in accounts:
            begin_account(account.name)
        self.in_force: Final = [make_binds(account, self._sent[account.name]) for account in accounts]
        self._leaving: Final[dict[str, asyncio.Task[None]]] = {}
        self._drained: Final[list[AccountBinds]] = []
        self._started = False
        self._unusable_since: float | None = None
        self._events: Final = events
        self._watch: Final = BindWatch(slot, self.in_force, health, alarms)
        self._breakers: Final = BreakerWatch(slot, alarms)
        self._rates: Final = ThrottleWatch(slot, health, alarms)
        self._answers: Final = LateWatch(slot, alarms)
        self._usable: list[AccountBinds] = []
        self._ordered: list[AccountBinds] = []
        self._turn = 0
        self._poor: Final = PoorWatch()
        self._share = 0.0

    def sessions(self) -> Iterator[tuple[AccountBinds, Session[Token]]]:
        """The sessions that may get work now, those of the account whose turn it is first."""
        usable = [binds for binds in self.in_force if binds.usable]
        if usable != self._usable:
            self._welcome(usable)
        self._turn += 1
        self._ordered = order(usable) if len(usable) > 1 else usable
        for binds in self._ordered:
            sessions = binds.pool.sessions
            start = self._turn % len(sessions)
            for session in chain(sessions[start:], sessions[:start]):
                yield binds, session

    def other_sessions(self) -> Iterator[tuple[AccountBinds, Session[Token]]]:
        """The sessions that `sessions` left out, of fallback and poor accounts: for what the others may not take."""
        for binds in self._usable:
            if binds not in self._ordered:
                for session in binds.pool.sessions:
                    yield binds, session

    @property
    def unusable_since(self) -> float | None:
        """Since when no account works, in monotonic seconds; None while one does. A probe is no work."""
        return None if self._work() else self._unusable_since

    def start(self) -> None:
        """Begin to bind."""
        self._started = True
        for binds in self.in_force:
            binds.pool.start()

    def change(self, accounts: Sequence[Account]) -> None:
        """Work with these accounts from now on, in mid broadcast; returns at once.

        A removed account gets no more work, waits for the answers to what it was given, and unbinds. One whose sessions
        cannot stay is removed and added: it binds anew when the sessions before have ended.
        """
        wanted = {account.name: account for account in accounts}
        for position in reversed(range(len(self.in_force))):
            binds = self.in_force[position]
            account = wanted.pop(binds.account.name, None)
            if account is None:
                del self.in_force[position]
                self._leave(binds)
            elif account != binds.account and not binds.adjust(account):
                self._leave(binds)
                self.in_force[position] = self._add(account)
            else:
                binds.set_share(self._share)
        self.in_force.extend([self._add(account) for account in wanted.values()])
        log.info("accounts_changed", accounts=[binds.account.name for binds in self.in_force])
        self._events.write_ready()

    def set_share(self, share: float) -> None:
        """Limit this worker to a share of the rates: its share of the route's partitions."""
        self._share = share
        for binds in self.in_force:
            binds.set_share(share)

    def report(self) -> None:
        """Set the metrics of binds."""
        for binds in self.in_force:
            binds.pool.report()

    async def unbind(self) -> None:
        """Unbind all sessions; a submit that is still unanswered is unknown."""
        await asyncio.gather(*(binds.unbind() for binds in (*self.in_force, *self._drained)))

    def abort(self) -> None:
        """Close all links at once."""
        for binds in (*self.in_force, *self._drained):
            binds.pool.abort()

    async def run(self) -> None:
        """Watch the accounts until cancelled."""
        while True:
            self.look(monotonic())
            await asyncio.sleep(LOOK_SECONDS)

    def look(self, now: float) -> None:
        """Compare the accounts, begin probes that are due, and say which do not work at `now`, monotonic seconds."""
        self._poor.look(self.in_force, now)
        self._stop_throttled(now)
        self._note_only_account()
        if self._work():
            self._unusable_since = None
        elif self._unusable_since is None:
            self._unusable_since = now
        probing = False
        for binds in self.in_force:
            probing = binds.breaker.tick(now) or probing
            self._show(binds, now)
        self._watch.look(now)
        if probing:
            self._events.write_ready()

    def _work(self) -> bool:
        return any(binds.works for binds in self.in_force)

    def _note_only_account(self) -> None:
        """Tell each breaker whether no other account works."""
        working = [binds for binds in self.in_force if binds.works]
        for binds in self.in_force:
            binds.breaker.only_account = all(other is binds for other in working)

    def _stop_throttled(self, now: float) -> None:
        """Stop accounts that throttle everything while another one works: what they hold goes by that one."""
        throttled = [binds for binds in self.in_force if binds.breaker.throttles_all(now)]
        working = [binds for binds in self.in_force if binds.works]
        if throttled and any(binds not in throttled for binds in working):
            for binds in throttled:
                binds.breaker.stop_throttled(now)
            self._events.write_ready()

    def _add(self, account: Account) -> AccountBinds:
        begin_account(account.name)
        binds = self._make_binds(account, self._sent[account.name])
        binds.set_share(self._share)
        before = self._leaving.get(account.name)
        if before is not None:
            # Never twice the binds that the SMSC allows.
            before.add_done_callback(lambda _: self._start_later(binds))
        elif self._started:
            binds.pool.start()
        return binds

    def _start_later(self, binds: AccountBinds) -> None:
        if self._started and binds in self.in_force:
            binds.pool.start()

    def _leave(self, binds: AccountBinds) -> None:
        name = binds.account.name
        self._drained.append(binds)
        self._breakers.forget(name)
        self._rates.forget(name)
        self._answers.forget(name)
        for gauge in (metrics.account_usable, metrics.account_simulated, metrics.account_poor):
            with suppress(KeyError):
                gauge.remove(name)
        task = asyncio.create_task(self._drain(binds, self._leaving.get(name)), name=f"drain account {name}")
        self._leaving[name] = task

    async def _drain(self, binds: AccountBinds, before: asyncio.Task[None] | None) -> None:
        try:
            if before is not None:
                await asyncio.wait((before,))
            await binds.drain()
        finally:
            self._drained.remove(binds)
            if self._leaving.get(binds.account.name) is asyncio.current_task():
                del self._leaving[binds.account.name]

    def _welcome(self, usable: list[AccountBinds]) -> None:
        # One that was away has served less, and would get everything until it had caught up.
        before = [binds.served for binds in usable if binds in self._usable]
        for binds in usable:
            if before and binds not in self._usable:
                binds.served = max(binds.served, min(before))
        self._usable = usable
        self._note_only_account()

    def _show(self, binds: AccountBinds, now: float) -> None:
        name = binds.account.name
        metrics.account_usable.labels(name).set(binds.usable)
        metrics.account_simulated.labels(name).set(binds.account.simulated)
        metrics.account_poor.labels(name).set(binds.poor)
        self._breakers.look(binds)
        self._rates.look(binds, now)
        self._answers.look(binds, now)
