"""The binds of one account: bound, bound again after they end, more or fewer of them, and drained."""

import asyncio
import random
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import replace
from typing import Final, Generic, TypeVar

from broadcast.smpp.account import AccountConfig, BindConfig, BindMode, BindModes
from broadcast.smpp.bind_state import BindPhase, BindState
from broadcast.smpp.kept_bind import AccountBinding, KeptBind
from broadcast.smpp.listener import Listener
from broadcast.smpp.rates.pacing import Pacing
from broadcast.smpp.rates.sliding_count import SlidingCount
from broadcast.smpp.session import Session

T = TypeVar("T")


class Pool(Generic[T]):
    """Keeps the binds of an account bound, each with its own reconnect; they share the account's rate.

    The listener is told of every session: `on_room` when one is bound, `on_lost` when it ends. `on_bind_state` is
    called, synchronously, whenever the state of a bind has changed. `number_of` gives the destination of a submit by
    its token: without it RMSGQFUL never slows a bind. `sent`, by `make_sent_count`, is given to every pool that the
    account has, one after another: its rate holds over all of them.
    """

    def __init__(
        self,
        config: AccountConfig,
        listener: Listener[T],
        *,
        clock: Callable[[], float] | None = None,
        jitter: random.Random | None = None,
        on_bind_state: Callable[[BindState], None] | None = None,
        number_of: Callable[[T], Hashable] | None = None,
        sent: SlidingCount | None = None,
    ) -> None:
        self.sessions: Sequence[Session[T]] = ()
        """The sessions bound now that take submits: not those of receivers."""
        self._on_bind_state: Final = on_bind_state
        monotonic = clock or asyncio.get_running_loop().time
        self._shared: Final[AccountBinding[T]] = AccountBinding(
            config=config,
            listener=listener,
            clock=monotonic,
            jitter=jitter or random.Random(),  # noqa: S311 - spreads reconnects, keeps no secret
            pacing=Pacing(config.rate_per_second, monotonic(), sent=sent),
            attempts=asyncio.Semaphore(config.concurrent_binds),
            number_of=number_of,
            on_change=self._note_change,
        )
        self._binds: dict[str, KeptBind[T]] = {}
        self._leaving: dict[asyncio.Task[None], KeptBind[T]] = {}

    @property
    def config(self) -> AccountConfig:
        """The account's settings, with the number of binds as it is now."""
        return self._shared.config

    def bind_of(self, session: Session[T]) -> str:
        """The name of the bind that has a session; empty when none has it any more."""
        return next((bind.name for bind in self._binds.values() if bind.session is session), "")

    def bind_states(self) -> list[BindState]:
        """The state of each bind, also of those that are being unbound."""
        return [bind.state for bind in (*self._binds.values(), *self._leaving.values())]

    def tokens(self) -> list[Collection[T]]:
        """For each session the tokens of submits without an answer that are not given up, the oldest first."""
        binds = (*self._binds.values(), *self._leaving.values())
        return [bind.session.tokens for bind in binds if bind.session is not None]

    @property
    def limit(self) -> float | None:
        """The rate that is set, in segments per second; None without one."""
        return self._shared.pacing.limit

    def allowed_rate(self) -> float | None:
        """Segments per second that all sessions may write now: the limit, or less while the SMSC throttles."""
        rates = [session.pacing.rate for session in self.sessions]
        known = [rate for rate in rates if rate is not None]
        if not known or len(known) < len(rates):
            return self.limit
        return sum(known) if self.limit is None else min(self.limit, sum(known))

    def set_rate(self, rate_per_second: float | None) -> None:
        """Change the account's rate, for example to this worker's share of it."""
        self._shared.pacing.set_limit(rate_per_second, self._shared.clock())

    def start(self) -> None:
        """Begin to bind, in tasks; returns at once."""
        if self._binds:
            raise RuntimeError(f"pool of account {self.config.name} was started twice")
        self._add_missing()

    def resize(self, config: AccountConfig) -> None:
        """Have the number and the modes of binds of `config`; returns at once.

        New binds begin to bind. Those too many write no more submits, wait for responses at most
        `response_timeout_seconds`, and unbind. ValueError when anything of a bind is different: that needs a new pool.
        """
        if config.bind != self.config.bind:
            raise ValueError(f"account {config.name}: only the number of binds can change; make a new pool, drain this")
        self._shared.config = config
        wanted = list_binds(config)
        for name in [name for name in self._binds if name not in wanted]:
            self._leave(name, config.bind.response_timeout_seconds)
        self._add_missing()
        self._list_sessions()

    async def drain(self, timeout_seconds: float) -> None:
        """Write no more submits, wait for responses, unbind all, within the timeout; the pool is over then.

        What has no response then is reported by `on_lost`.
        """
        for name in tuple(self._binds):
            self._leave(name, timeout_seconds)
        self._list_sessions()
        while self._leaving:
            # Those that were to leave before may have a longer timeout.
            await asyncio.wait(self._leaving, timeout=timeout_seconds)
            for bind in self._leaving.values():
                bind.abort()

    def abort(self) -> None:
        """Close all links at once."""
        for bind in (*self._binds.values(), *self._leaving.values()):
            bind.abort()

    def report(self) -> None:
        """Set the metrics of each bind: how full its window is, and the PDUs that were not expected."""
        for bind in self._binds.values():
            bind.report()

    def _leave(self, name: str, timeout_seconds: float) -> None:
        bind = self._binds.pop(name)
        task = asyncio.create_task(bind.end(timeout_seconds), name=f"end bind {self.config.name}/{name}")
        self._leaving[task] = bind
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        bind = self._leaving.pop(task)
        if bind.name not in self._binds:
            bind.remove_metrics()

    def _add_missing(self) -> None:
        for name, config in list_binds(self.config).items():
            if name not in self._binds:
                self._binds[name] = bind = KeptBind(name, config, self._shared)
                bind.start()

    def _note_change(self, bind: KeptBind[T]) -> None:
        self._list_sessions()
        if self._on_bind_state is not None:
            self._on_bind_state(bind.state)

    def _list_sessions(self) -> None:
        self.sessions = tuple(
            bind.session
            for bind in self._binds.values()
            if bind.session is not None
            and bind.state.phase is BindPhase.BOUND
            and bind.config.mode is not BindMode.RECEIVER
        )


def list_binds(config: AccountConfig) -> dict[str, BindConfig]:
    """The binds of an account by name: "0", "1" for transceivers, "tx0", "rx0" for transmitters and receivers."""
    if config.bind_mode is BindModes.TRANSCEIVER:
        return {str(number): replace(config.bind, mode=BindMode.TRANSCEIVER) for number in range(config.binds)}
    transmitters = {f"tx{number}": BindMode.TRANSMITTER for number in range(config.transmitters)}
    receivers = {f"rx{number}": BindMode.RECEIVER for number in range(config.receivers)}
    return {name: replace(config.bind, mode=mode) for name, mode in (transmitters | receivers).items()}
