"""One bind that submits in windows and reports in batches (SMPP 3.4, 2.5 to 2.8, 4.4, 4.6)."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from secrets import token_hex
from typing import Final, Generic, TypeVar

from broadcast.smpp.account import BindConfig, BindMode
from broadcast.smpp.codec.command_status import RINVBNDSTS, RMSGQFUL
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.codec.pdu import UNBIND, SequenceCounter
from broadcast.smpp.codec.reader import Batch
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.delivery_link import DeliveryLink
from broadcast.smpp.errors import LinkLostError, ResponseTimeoutError, UnboundError
from broadcast.smpp.link import wait_within
from broadcast.smpp.listener import Listener
from broadcast.smpp.mute import find_mute
from broadcast.smpp.rates.full_queues import FullQueues
from broadcast.smpp.rates.pacing import Pacing
from broadcast.smpp.window import Response, Window

T = TypeVar("T")
SHORTEST_WAIT_SECONDS: Final = 0.001


class Session(DeliveryLink, Generic[T]):
    """A bound session, made by `binding.connect`. Not for use from other threads.

    A token is what the caller wants back with the response, of any type. Each token given to `submit` is reported
    once by `on_responses` or `on_lost`; one that was given up is reported by `on_late` too if its answer comes after
    all. No other session, in any process, has its `identity`.
    """

    def __init__(
        self,
        config: BindConfig,
        listener: Listener[T],
        *,
        clock: Callable[[], float],
        account_pacing: Pacing | None = None,
        sequences: SequenceCounter | None = None,
        number_of: Callable[[T], Hashable] | None = None,
    ) -> None:
        super().__init__(config, clock, sequences)
        self.identity: Final = token_hex(8)
        self.smsc_id = b""
        self.pacing: Final = Pacing(config.rate_per_second, clock(), pause_seconds=config.throttle_pause_seconds)
        self._account_pacing: Final = account_pacing
        self._listener: Final = listener
        self._number_of: Final = number_of
        self._full_queues: Final = FullQueues()
        self._window: Final[Window[T]] = Window(config.window, self.sequences)
        self._submits = False
        # Since then no submit was answered although some were pending; segments that wait for places.
        self._unanswered_since = 0.0
        self._segments_awaited = 1
        self._room_timer: asyncio.TimerHandle | None = None
        self._emptied: Final = asyncio.Event()

    @property
    def unanswered(self) -> int:
        """Submits that are written and have no response yet, also those that were given up."""
        return len(self._window)

    @property
    def tokens(self) -> Collection[T]:
        """Of the submits without an answer that are not given up, the oldest first."""
        return self._window.tokens

    def unanswered_seconds(self) -> float:
        """For how long no submit was answered although some are pending; 0.0 while none is."""
        return self._clock() - self._unanswered_since if self._window.pending else 0.0

    def take_answers(self) -> tuple[int, int]:
        """How many submits were answered since the last call, and how many of them after the response timeout."""
        return self._window.take_answers()

    @property
    def room(self) -> int:
        """How many submits may be written now.

        0 while throttled, above the rate, while the transport has paused writing, or unbinding; always on a receiver.
        """
        if not self._submits or self._writing_paused or self._stopping:
            return 0
        now = self._clock()
        room = min(self._window.room, self.pacing.room(now))
        if room and self._account_pacing is not None:
            room = min(room, self._account_pacing.room(now))
        return room

    def submit(self, template: SubmitTemplate, destinations: Sequence[bytes], tokens: Sequence[T]) -> int:
        """Write submits for the first destinations, as many as there is room for, in one write; returns how many.

        The caller gives the others again at `on_room`. PduError, with nothing written, for a bad destination.
        """
        wanted = len(destinations)
        count = min(wanted, self.room)
        if count <= 0:
            if wanted:
                self.await_room()
            return 0
        if count < wanted:
            destinations = destinations[:count]
        template.check(destinations)
        self._write(template.render(self._register(tokens[:count]), destinations))
        if count < wanted:
            self.await_room()
        return count

    def submit_many(self, items: Sequence[tuple[SubmitTemplate, bytes, T]], group: int = 1) -> int:
        """Write submits of several templates, in one write; returns how many items were written.

        `group` is the number of consecutive items that belong together, such as the segments of one message: a group
        is written whole or not at all, and stays in order. It must not exceed the window.
        """
        if group > self.config.window:
            raise ValueError(f"group of {group} segments exceeds the window of {self.config.window}: raise the window")
        count = min(len(items), self.room) // group * group
        if count <= 0:
            if items:
                self.await_room(group)
            return 0
        taken = items[:count]
        for template, destination, _ in taken:
            template.check((destination,))
        buffer = bytearray()
        sequences = self._register([token for _, _, token in taken])
        for (template, destination, _), sequence in zip(taken, sequences, strict=True):
            template.append_to(buffer, sequence, destination)
        self._write(buffer)
        if count < len(items):
            self.await_room(group)
        return count

    def await_room(self, segments: int = 1) -> None:
        """Have `on_room` called when there is room for so many submits at once.

        Pacing then keeps that much of the rate together. Where the window is full, the next response calls `on_room`.
        """
        self._segments_awaited = segments
        if self._room_timer is not None or not self._submits or self._stopping or self._writing_paused:
            return
        if self._window.room < segments:
            # A response will come, or the session ends: both announce the room.
            return
        now = self._clock()
        at = self.pacing.next_room_at(now, segments)
        if self._account_pacing is not None:
            at = max(at, self._account_pacing.next_room_at(now, segments))
        # Never 0: a loop whose clock does not move between two turns would run without end, a rounding error likewise.
        delay = max(at - now, SHORTEST_WAIT_SECONDS)
        self._room_timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def take_unexpected(self) -> Counter[str]:
        """PDUs that were not expected, by kind, since the last call.

        Kinds: `response` (to no request of this side), `request` (of a command that is not supported).
        """
        found, self.unexpected = self.unexpected, Counter()
        found["response"] += self._window.take_unexpected()
        return +found

    async def unbind(self, timeout_seconds: float) -> None:
        """Write no more submits, wait for the responses, unbind, close: all within the timeout.

        What has no response then is reported by `on_lost`.
        """
        self._stopping = True
        deadline = self._clock() + timeout_seconds
        if self._window.pending and not self.closed.is_set():
            self._emptied.clear()
            await wait_within(self._emptied.wait(), deadline - self._clock())
        if not self.closed.is_set():
            # Unbind even when the responses did not come in time.
            await wait_within(self.request(UNBIND), max(0.1, deadline - self._clock()))
            self._close(UnboundError("unbound"))
        await self.closed.wait()

    def start(self, smsc_id: bytes) -> None:
        """Begin to take submits, after the SMSC has accepted the bind. LinkLostError when the link has ended."""
        if self.closed.is_set() or self._stopping:
            raise self._error or LinkLostError("closed by the SMSC right after the bind")
        self.smsc_id = smsc_id
        self._bound = True
        self._submits = self.config.mode is not BindMode.RECEIVER
        self._start_ticking()
        self._announce_room()

    def _in_use(self, sequence: int) -> bool:
        return sequence in self._window or super()._in_use(sequence)

    def _receive(self, batch: Batch, now: float) -> None:
        if batch.sequences:
            self._settle(batch, now)
        if batch.deliveries and (deliveries := self._admit(batch)):
            self._listener.on_deliveries(self, deliveries)
        if batch.sequences:
            self._announce_room()

    def _check_timers(self, now: float) -> None:
        window, timeout = self._window, self.config.response_timeout_seconds
        if overdue := window.give_up(now, timeout):
            if not window.pending:
                self._emptied.set()
            self._listener.on_lost(self, ResponseTimeoutError(f"no response within {timeout} s"), overdue)
        if error := find_mute(window, timeout, now - self._unanswered_since, self._segments_awaited):
            self._close(error)

    def _settled(self) -> bool:
        return not self._window.pending and not self._unanswered_deliveries

    def _report_loss(self, error: SmppError) -> None:
        self._submits = False
        if self._room_timer is not None:
            self._room_timer.cancel()
        self._emptied.set()
        self._listener.on_lost(self, error, self._window.drain())

    def _register(self, tokens: Sequence[T]) -> Sequence[int]:
        now = self._clock()
        self._segments_awaited = 1
        self.pacing.take(len(tokens), now)
        if self._account_pacing is not None:
            self._account_pacing.take(len(tokens), now)
        if not self._window.pending:
            self._unanswered_since = now
        return self._window.register(tokens, self._in_use)

    def _settle(self, batch: Batch, now: float) -> None:
        timely, late = self._window.settle(batch.sequences, batch.statuses, batch.ids)
        self._observe(batch, timely, now)
        if RINVBNDSTS in batch.statuses:
            self._close(LinkLostError("the SMSC says that this session is not bound"))
        if not self._window.pending:
            self._emptied.set()
        if timely or late:
            self._unanswered_since = now
        if timely:
            self._listener.on_responses(self, timely)
        if late:
            self._listener.on_late(self, late)
        if second := self._window.take_second():
            self._listener.on_second(self, second)

    def _observe(self, batch: Batch, timely: list[Response[T]], now: float) -> None:
        """Tell the pacing what the SMSC says about the rate."""
        statuses = batch.statuses
        throttled = sum(map(statuses.count, self.config.throttled_statuses))
        number_of = self._number_of if RMSGQFUL in statuses else None
        full = [] if number_of is None else [number_of(token) for token, status, *_ in timely if status == RMSGQFUL]
        throttled += self._full_queues.count_congested(len(statuses), full, now)
        congestion = batch.congestion if self.config.congestion_state else None
        self.pacing.observe(len(statuses), throttled, now, unanswered=self._window.pending, congestion=congestion)

    def _announce_room(self) -> None:
        if self.room:
            self._listener.on_room(self)
        else:
            self.await_room()

    def _wake(self) -> None:
        self._room_timer = None
        self._announce_room()
