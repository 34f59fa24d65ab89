"""One bind of an account that is kept bound: connected, bound again after it ends, unbound at the end."""

import asyncio
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Generic, TypeVar

import structlog
from prometheus_client import Gauge, Histogram

from broadcast import metrics
from broadcast.clock import epoch_milliseconds
from broadcast.smpp.account import AccountConfig, BindConfig
from broadcast.smpp.bind_state import AccountPause, BindPhase, BindState, choose_delay, count_failures
from broadcast.smpp.binding import connect
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.errors import BindError
from broadcast.smpp.listener import Listener
from broadcast.smpp.rates.pacing import Pacing
from broadcast.smpp.session import Session

T = TypeVar("T")
log = structlog.get_logger(__name__)

SETTLED_SECONDS: Final = 10.0
"""After a bind that lasted so long, the pauses begin with the shortest again."""


@dataclass(slots=True, kw_only=True)
class AccountBinding(Generic[T]):
    """What the binds of one account share.

    `attempts` caps how many bind at once. What one of them was refused for all, none tries before `pause` is over.
    """

    config: AccountConfig
    listener: Listener[T]
    clock: Callable[[], float]
    jitter: random.Random
    pacing: Pacing
    attempts: asyncio.Semaphore
    number_of: Callable[[T], Hashable] | None
    on_change: "Callable[[KeptBind[T]], None]"
    pause: AccountPause = field(default_factory=AccountPause)


class KeptBind(Generic[T]):
    """Connects, waits and connects again, from `start` until `end`."""

    def __init__(self, name: str, config: BindConfig, shared: AccountBinding[T]) -> None:
        self.name: Final = name
        self.config: Final = config
        self.session: Session[T] | None = None
        self.state = BindState(shared.config.name, name, config.mode, BindPhase.CONNECTING, epoch_milliseconds())
        self._shared: Final = shared
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to bind, in a task; returns at once."""
        # A bind that never succeeds must be shown as down, not be absent.
        metrics.smpp_bind_up.labels(self.state.account, self.name).set(0)
        self._task = asyncio.create_task(self._keep_bound(), name=f"bind {self.state.account}/{self.name}")
        self._task.add_done_callback(_report_failure)
        self._shared.on_change(self)

    async def end(self, timeout_seconds: float) -> None:
        """Write no more submits, wait for responses, unbind, within the timeout.

        What has no response then is reported by `on_lost`.
        """
        session = self.session
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._change(BindPhase.UNBINDING)
        if session is not None:
            await session.unbind(timeout_seconds)
            self._report_unexpected(session)
        self.session = None

    def remove_metrics(self) -> None:
        """Show this bind no longer, after its end."""
        for gauge in (metrics.smpp_bind_up, metrics.smpp_window_used_ratio, metrics.link_test_last_success):
            gauge.remove(self.state.account, self.name)

    def abort(self) -> None:
        """Close the link at once, and bind no more."""
        if self._task is not None:
            self._task.cancel()
        if self.session is not None:
            self.session.abort()

    def report(self) -> None:
        """Set the metrics: how full the window is, and the PDUs that were not expected."""
        session = self.session
        used = session.unanswered / self.config.window if session is not None else 0.0
        metrics.smpp_window_used_ratio.labels(self.state.account, self.name).set(used)
        if session is not None:
            self._report_unexpected(session)

    async def _keep_bound(self) -> None:
        shared = self._shared
        while True:
            error: SmppError | None
            failures = self.state.failures
            try:
                session = await self._bind()
            except BindError as refusal:
                error, failures = refusal, failures + 1
            else:
                bound_at = shared.clock()
                error = await self._until_closed(session)
                failures = count_failures(failures, shared.clock() - bound_at, SETTLED_SECONDS, error)
            await self._wait(error, failures)

    async def _bind(self) -> Session[T]:
        shared = self._shared
        while True:
            self._change(BindPhase.CONNECTING)
            async with shared.attempts:
                delay = shared.pause.left(self.name, shared.clock())
                if delay <= 0:
                    return await connect(
                        self.config,
                        shared.listener,
                        clock=shared.clock,
                        account_pacing=shared.pacing,
                        number_of=shared.number_of,
                    )
            # Another bind of the account was refused.
            self._change(_phase_of(shared.pause.refusal), error=shared.pause.refusal, delay=delay)
            await asyncio.sleep(delay)

    async def _until_closed(self, session: Session[T]) -> SmppError | None:
        account, up = self.state.account, metrics.smpp_bind_up.labels(self.state.account, self.name)
        answered = metrics.link_test_last_success.labels(account, self.name)
        latencies = metrics.smpp_enquire_link_rtt.labels(account)
        session.on_enquire_link_answered = partial(_observe_enquire_link, latencies, answered)
        answered.set_to_current_time()
        up.set(1)
        log.info(
            "session_bound", account=account, bind=self.name, smsc=name_smsc(session.smsc_id, session.config.password)
        )
        self.session = session
        self._change(BindPhase.BOUND)
        self._shared.listener.on_room(session)
        try:
            await session.closed.wait()
        finally:
            up.set(0)
        self.session = None
        self._report_unexpected(session)
        return session.error

    async def _wait(self, error: SmppError | None, failures: int) -> None:
        shared = self._shared
        delay = choose_delay(shared.config, error, failures, shared.jitter)
        shared.pause.note(self.name, error, delay, shared.clock())
        delay = max(delay, shared.pause.left(self.name, shared.clock()))
        phase = _phase_of(error)
        if isinstance(error, BindError):
            write = log.warning if error.retryable else log.error
            write(
                "bind_failed",
                account=self.state.account,
                bind=self.name,
                error=str(error),
                next_attempt_seconds=round(delay, 1),
            )
        self._change(phase, error=error, failures=failures, delay=delay)
        await asyncio.sleep(delay)

    def _change(
        self,
        phase: BindPhase,
        *,
        error: SmppError | None = None,
        failures: int | None = None,
        delay: float | None = None,
    ) -> None:
        before, now = self.state, epoch_milliseconds()
        bound = phase is BindPhase.BOUND
        self.state = replace(
            before,
            phase=phase,
            since=now if bound != (before.phase is BindPhase.BOUND) else before.since,
            error=None if bound else error or before.error,
            failures=before.failures if failures is None else failures,
            next_attempt_at=None if delay is None else now + int(delay * 1000),
        )
        self._shared.on_change(self)

    def _report_unexpected(self, session: Session[T]) -> None:
        for kind, count in session.take_unexpected().items():
            metrics.smpp_unexpected.labels(self.state.account, kind).inc(count)


def _phase_of(error: SmppError | None) -> BindPhase:
    """What a bind does after this error, until its next attempt."""
    return BindPhase.REFUSED if isinstance(error, BindError) and not error.retryable else BindPhase.WAITING


def _observe_enquire_link(latencies: Histogram, answered: Gauge, seconds: float) -> None:
    latencies.observe(seconds)
    answered.set_to_current_time()


def _report_failure(task: asyncio.Task[None]) -> None:
    """Tell the loop's exception handler of a listener that raised: its bind has ended and does not come back."""
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler(
            {"message": f"{task.get_name()} ended", "exception": error, "task": task}
        )


def name_smsc(smsc_id: bytes, password: str) -> str:
    """What an SMSC calls itself, for logs; never our password, which it was just told."""
    name = smsc_id.decode("latin-1")
    return "[hidden]" if password and password in name else name
