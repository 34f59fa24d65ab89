"""The binds of one account: bound, bound again after they end, and unbound at the stop."""

import asyncio
import random
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

import structlog
from prometheus_client import Gauge, Histogram

from broadcast import metrics
from broadcast.smpp.account import AccountConfig, BindConfig
from broadcast.smpp.codec.bind import BindRequest, encode_bind, parse_bind_response
from broadcast.smpp.codec.command_status import BIND_REFUSED, RALYBND, ROK, name_status
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.codec.pdu import SequenceCounter
from broadcast.smpp.errors import BindError
from broadcast.smpp.pacing import Pacing
from broadcast.smpp.session import Listener, Session

T = TypeVar("T")
log = structlog.get_logger(__name__)

SETTLED_SECONDS: Final = 10.0
"""After a bind that lasted so long, the pauses begin with the shortest again."""


async def connect(
    config: BindConfig,
    listener: Listener[T],
    *,
    clock: Callable[[], float] | None = None,
    account_pacing: Pacing | None = None,
    sequences: SequenceCounter | None = None,
) -> Session[T]:
    """Connect, bind, and return the bound session; `on_room` is called before it returns.

    BindError when the SMSC cannot be reached in `connect_timeout_seconds`, does not answer the bind in
    `session_init_seconds`, or refuses it. `clock` is monotonic seconds, by default the loop's.
    """
    loop = asyncio.get_running_loop()
    session = Session(config, listener, clock=clock or loop.time, account_pacing=account_pacing, sequences=sequences)
    where = f"{config.host}:{config.port}"
    try:
        tls = None if config.tls is None else config.tls.make_context()
        server_name = None if config.tls is None else config.tls.server_name
        async with asyncio.timeout(config.connect_timeout_seconds):
            await loop.create_connection(
                lambda: session, config.host, config.port, ssl=tls, server_hostname=server_name
            )
    except ssl.SSLError as error:
        raise BindError(f"TLS with {where} failed: {error}; check tls.ca_file", retryable=True) from error
    except UnicodeError as error:
        raise BindError(f"host {config.host!r} is not a host name ({error}); correct it", retryable=False) from error
    except (OSError, TimeoutError) as error:
        raise BindError(f"no connection to {where}: {error or 'timed out'}", retryable=True) from error
    body = encode_bind(
        BindRequest(
            config.system_id.encode(),
            config.password.encode(),
            config.system_type.encode(),
            config.interface_version,
            config.addr_ton,
            config.addr_npi,
            config.address_range.encode(),
        )
    )
    try:
        async with asyncio.timeout(config.session_init_seconds):
            response = await session.request(config.mode.value, body)
        if response.status != ROK:
            raise BindError(
                f"{where} refused the bind of {config.system_id}: {name_status(response.status)}",
                retryable=response.status not in BIND_REFUSED,
                command_status=response.status,
            )
        session.start(parse_bind_response(response.body).system_id)
    except BindError:
        session.abort()
        raise
    except (SmppError, TimeoutError) as error:
        session.abort()
        reason = str(error) or f"no answer within {config.session_init_seconds} s"
        raise BindError(f"{where} did not complete the bind: {reason}", retryable=True) from error
    except asyncio.CancelledError:
        session.abort()
        raise
    return session


class Pool(Generic[T]):
    """Keeps `config.binds` sessions bound, each with its own reconnect; they share the account's rate.

    The listener is told of every session: `on_room` when one is bound, `on_lost` when it ends.
    """

    def __init__(
        self,
        config: AccountConfig,
        listener: Listener[T],
        *,
        clock: Callable[[], float] | None = None,
        jitter: random.Random | None = None,
    ) -> None:
        self.config: Final = config
        self.last_error: BindError | None = None
        self._next_attempt_at: float | None = None
        self._listener: Final = listener
        self._clock: Final = clock or asyncio.get_running_loop().time
        self._jitter: Final = jitter or random.Random()  # noqa: S311 - spreads reconnects, keeps no secret
        self._sessions: dict[int, Session[T]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._pacing: Final = Pacing(config.rate_per_second, self._clock())
        # One bind after the other: several binds of one account at once look like an attack to some SMSCs.
        self._binding: Final = asyncio.Lock()

    @property
    def sessions(self) -> Sequence[Session[T]]:
        """The sessions bound now."""
        return tuple(self._sessions.values())

    def seconds_to_next_attempt(self) -> float | None:
        """Seconds until the next bind is tried; None while one is tried, and when all are bound."""
        if self._next_attempt_at is None or len(self._sessions) >= self.config.binds:
            return None
        return max(0.0, self._next_attempt_at - self._clock())

    def set_rate(self, rate_per_second: float | None) -> None:
        """Change the account's rate, for example to this worker's share of it."""
        self._pacing.set_limit(rate_per_second, self._clock())

    def start(self) -> None:
        """Begin to bind, in tasks; returns at once."""
        if self._tasks:
            raise RuntimeError(f"pool of account {self.config.name} was started twice")
        self._tasks = [
            asyncio.create_task(self._keep_bound(number), name=f"bind {self.config.name}/{number}")
            for number in range(self.config.binds)
        ]
        for number, task in enumerate(self._tasks):
            task.add_done_callback(_report_failure)
            # A bind that never succeeds must be shown as down, not be absent.
            metrics.smpp_bind_up.labels(self.config.name, str(number)).set(0)

    async def stop(self, timeout_seconds: float) -> None:
        """Write no more submits, wait for responses, unbind all, within the timeout.

        What has no response then is reported by `on_lost`.
        """
        sessions = self.sessions
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await asyncio.gather(*(session.unbind(timeout_seconds) for session in sessions))
        self._sessions.clear()

    def abort(self) -> None:
        """Close all links at once."""
        for task in self._tasks:
            task.cancel()
        for session in self.sessions:
            session.abort()

    def report(self) -> None:
        """Set the metrics of each bind: how full its window is, and the PDUs that were not expected."""
        for number in range(self.config.binds):
            session = self._sessions.get(number)
            used = session.unanswered / self.config.bind.window if session is not None else 0.0
            metrics.smpp_window_used_ratio.labels(self.config.name, str(number)).set(used)
            if session is not None:
                self._report_unexpected(session)

    def _report_unexpected(self, session: Session[T]) -> None:
        for kind, count in session.take_unexpected().items():
            metrics.smpp_unexpected.labels(self.config.name, kind).inc(count)

    async def _keep_bound(self, number: int) -> None:
        failures = 0
        while True:
            try:
                async with self._binding:
                    self._next_attempt_at = None
                    session = await connect(
                        self.config.bind, self._listener, clock=self._clock, account_pacing=self._pacing
                    )
            except BindError as error:
                failures += 1
                self.last_error = error
                delay = choose_delay(self.config, error, failures, self._jitter)
                write = log.warning if error.retryable else log.error
                write("bind_failed", account=self.config.name, error=str(error), next_attempt_seconds=round(delay, 1))
                self._next_attempt_at = self._clock() + delay
                await asyncio.sleep(delay)
                continue
            self.last_error = None
            bound_at = self._clock()
            self._sessions[number] = session
            answered = metrics.link_test_last_success.labels(self.config.name, str(number))
            latencies = metrics.smpp_enquire_link_rtt.labels(self.config.name)
            session.on_enquire_link_answered = partial(_observe_enquire_link, latencies, answered)
            answered.set_to_current_time()
            metrics.smpp_bind_up.labels(self.config.name, str(number)).set(1)
            log.info("session_bound", account=self.config.name, bind=number, smsc=session.smsc_id.decode("latin-1"))
            self._listener.on_room(session)
            try:
                await session.closed.wait()
            finally:
                metrics.smpp_bind_up.labels(self.config.name, str(number)).set(0)
                self._report_unexpected(session)
                if session.closed.is_set():
                    del self._sessions[number]
            failures = 0 if self._clock() - bound_at >= SETTLED_SECONDS else failures + 1
            if failures:
                await asyncio.sleep(choose_delay(self.config, None, failures, self._jitter))


def _observe_enquire_link(latencies: Histogram, answered: Gauge, seconds: float) -> None:
    latencies.observe(seconds)
    answered.set_to_current_time()


def _report_failure(task: asyncio.Task[None]) -> None:
    """Tell the loop's exception handler of a listener that raised: its bind has ended and does not come back."""
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler(
            {"message": f"{task.get_name()} ended", "exception": error, "task": task}
        )


def choose_delay(config: AccountConfig, error: BindError | None, failures: int, jitter: random.Random) -> float:
    """Seconds until the next bind: exponential with jitter, long when the SMSC refused, constant on RALYBND."""
    if error is not None and error.command_status == RALYBND:
        return config.already_bound_backoff_seconds * jitter.uniform(1.0, 1.25)
    if error is not None and not error.retryable:
        return config.refused_backoff_seconds * jitter.uniform(1.0, 1.5)
    ceiling = min(config.backoff_limit_seconds, config.backoff_seconds * 2.0 ** min(failures - 1, 16))
    return jitter.uniform(ceiling / 2, ceiling)
