"""The accounts of a route together: which of them gets the next work, and which of them does not work."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

import structlog

from broadcast import metrics
from broadcast.alarms import ACCOUNT_STOPPED, SESSION_MUTE, Alarms
from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.health import Health
from broadcast.routing import Account, Route
from broadcast.sending.accounts.bind_watch import BindWatch
from broadcast.sending.accounts.binds import AccountBinds
from broadcast.sending.accounts.breaker import State
from broadcast.sending.accounts.selection import find_failing, find_slow, order
from broadcast.sending.protocol import SenderEvents
from broadcast.sending.settlement import Token
from broadcast.smpp.session import Session

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 0.5

MakeBinds = Callable[[Account], AccountBinds]


class RouteAccounts:
    """The accounts that are in force, and the order in which they get work."""

    def __init__(
        self, route: Route, slot: str, make_binds: MakeBinds, *, health: Health, alarms: Alarms, events: SenderEvents
    ) -> None:
        """`slot` names this sender among the others of the route."""
        self.in_force: Final = [make_binds(account) for account in route.accounts]
        self._slot: Final = slot
        self._alarms: Final = alarms
        self._events: Final = events
        self._watch: Final = BindWatch(slot, self.in_force, health, alarms)
        self._usable: list[AccountBinds] = []
        self._turn = 0
        self._failing: frozenset[str] = frozenset()
        self._slow: frozenset[str] = frozenset()
        self._open_alarms: Final[dict[str, str]] = {}
        self._share = 0.0

    def sessions(self) -> Iterator[tuple[AccountBinds, Session[Token]]]:
        """The sessions that may get work now, those of the account whose turn it is first."""
        usable = [binds for binds in self.in_force if binds.usable]
        if usable != self._usable:
            self._welcome(usable)
        self._turn += 1
        for binds in order(usable) if len(usable) > 1 else usable:
            sessions = binds.pool.sessions
            start = self._turn % len(sessions)
            for session in chain(sessions[start:], sessions[:start]):
                yield binds, session

    def has_other(self, account: str) -> bool:
        """Whether another account of the route may get work now."""
        return any(binds.usable and binds.account.name != account for binds in self.in_force)

    def start(self) -> None:
        """Begin to bind."""
        for binds in self.in_force:
            binds.pool.start()

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
        await asyncio.gather(*(binds.unbind() for binds in self.in_force))

    def abort(self) -> None:
        """Close all links at once."""
        for binds in self.in_force:
            binds.pool.abort()

    async def run(self) -> None:
        """Watch the accounts until cancelled."""
        while True:
            self.look(monotonic(), epoch_milliseconds())
            await asyncio.sleep(LOOK_SECONDS)

    def look(self, now: float, wall_now: int) -> None:
        """Compare the accounts, begin probes that are due, and say which accounts do not work.

        `now` is monotonic seconds, `wall_now` milliseconds since the epoch.
        """
        self._compare(now)
        probing = False
        for binds in self.in_force:
            probing = binds.breaker.tick(now) or probing
            self._show(binds)
        self._watch.look(now, wall_now)
        if probing:
            self._events.write_ready()

    def _welcome(self, usable: list[AccountBinds]) -> None:
        # One that was away has served less, and would get everything until it had caught up.
        before = [binds.served for binds in usable if binds in self._usable]
        for binds in usable:
            if before and binds not in self._usable:
                binds.served = max(binds.served, min(before))
        self._usable = usable

    def _compare(self, now: float) -> None:
        measures = {binds.account.name: binds.measures.read(now) for binds in self.in_force}
        self._failing = find_failing(measures, self._failing)
        self._slow = find_slow(measures, self._slow)
        for binds in self.in_force:
            name = binds.account.name
            poor = name in self._failing or name in self._slow
            if poor != binds.poor:
                measure = measures[name]
                log.warning(
                    "account_compared",
                    account=name,
                    poor=poor,
                    error_share=round(measure.error_share, 3),
                    receipt_seconds=measure.receipt_delay,
                )
                binds.poor = poor

    def _show(self, binds: AccountBinds) -> None:
        name, breaker = binds.account.name, binds.breaker
        metrics.account_usable.labels(name).set(binds.usable)
        metrics.account_poor.labels(name).set(binds.poor)
        subject = f"{name}, sender {self._slot}"
        if breaker.state is State.CLOSED:
            if name not in self._open_alarms:
                # Those that this slot has raised in a run before: nobody else would end them.
                kinds: tuple[str, ...] = (SESSION_MUTE, ACCOUNT_STOPPED)
            else:
                kinds = (self._open_alarms[name],) if self._open_alarms[name] else ()
            if binds.pool.sessions:
                for kind in kinds:
                    self._alarms.end_soon(kind, subject)
                self._open_alarms[name] = ""
            return
        if not self._open_alarms.get(name):
            kind = SESSION_MUTE if breaker.mute else ACCOUNT_STOPPED
            self._open_alarms[name] = kind
            self._alarms.raise_soon(kind, subject, f"{breaker.reason}; it gets a few submits as a probe now and then")
