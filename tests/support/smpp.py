"""SMPP for tests: PDUs from bytes, a transport in memory, and a client that keeps every outcome."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import replace
from typing import Protocol, TypedDict, Unpack

from broadcast.smpp.account import BindConfig, BindMode, Tls
from broadcast.smpp.binding import connect
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.pdu import HEADER, HEADER_LENGTH, SUBMIT_SM_RESP, Pdu, SequenceCounter, encode_pdu
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.incoming import TURN_PDUS
from broadcast.smpp.session import Session
from broadcast.smpp.window import Response
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.server import SmscConfig, SmscServer
from tests.support.waiting import eventually

TEMPLATE = SubmitTemplate(source=b"TOCSIN", text=b"Flood warning")


def split_pdus(data: bytes) -> list[Pdu]:
    """The PDUs of `data`, which must end with a whole one."""
    pdus: list[Pdu] = []
    while data:
        length, command, status, sequence = HEADER.unpack_from(data)
        assert HEADER_LENGTH <= length <= len(data)
        pdus.append(Pdu(command, status, sequence, data[HEADER_LENGTH:length]))
        data = data[length:]
    return pdus


class BindChanges(TypedDict, total=False):
    """The fields of a BindConfig that tests change."""

    system_id: str
    password: str
    mode: BindMode
    tls: Tls | None
    window: int
    rate_per_second: float | None
    session_init_seconds: float
    response_timeout_seconds: float
    enquire_link_seconds: float
    inactivity_seconds: float
    deliveries_limit: int
    deliveries_octets_limit: int
    congestion_state: bool
    simulator_allowed: bool


class MemoryTransport(asyncio.Transport):
    """A transport that keeps what is written; each write is one piece."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False
        self.reading = True
        self._protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.pieces))

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def take(self) -> list[Pdu]:
        """What was written since the last call."""
        pdus = split_pdus(b"".join(self.pieces))
        self.pieces.clear()
        return pdus


class RecordingListener:
    """Keeps every call of a session, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.responses: list[Response[int]] = []
        self.late: list[Response[int]] = []
        self.second: list[Response[int]] = []
        self.deliveries: list[Delivery] = []
        self.errors: list[SmppError] = []
        self.lost: list[int] = []

    def on_responses(self, _session: Session[int], responses: list[Response[int]]) -> None:
        self.calls.append("responses")
        self.responses += responses

    def on_late(self, _session: Session[int], responses: list[Response[int]]) -> None:
        self.calls.append("late")
        self.late += responses

    def on_second(self, _session: Session[int], responses: list[Response[int]]) -> None:
        self.calls.append("second")
        self.second += responses

    def on_deliveries(self, _session: Session[int], deliveries: list[Delivery]) -> None:
        self.calls.append("deliveries")
        self.deliveries += deliveries

    def on_room(self, _session: Session[int]) -> None:
        self.calls.append("room")

    def on_lost(self, _session: Session[int], error: SmppError, unanswered: list[int]) -> None:
        self.calls.append("lost")
        self.errors.append(error)
        self.lost += unanswered


class SessionInMemory:
    """A bound session on a transport in memory, with a clock that the test moves."""

    def __init__(
        self,
        start: int = 1,
        number_of: Callable[[int], Hashable] | None = None,
        listener: RecordingListener | None = None,
        **changes: Unpack[BindChanges],
    ) -> None:
        self.now = 100.0
        self.listener = listener or RecordingListener()
        config = BindConfig(host="h", port=1, system_id="x", window=5, response_timeout_seconds=10.0)
        self.session: Session[int] = Session(
            replace(config, **changes),
            self.listener,
            clock=lambda: self.now,
            sequences=SequenceCounter(start),
            number_of=number_of,
        )
        self.transport = MemoryTransport(self.session)
        self.session.connection_made(self.transport)
        self.session.start(b"smsc")
        self.listener.calls.clear()

    def submit(self, count: int, first: int = 0) -> int:
        tokens = range(first, first + count)
        return self.session.submit(TEMPLATE, [b"4915%08d" % token for token in tokens], tokens)

    def receive(self, *pdus: Pdu) -> None:
        """The SMSC sends these PDUs, in one buffer."""
        self.session.data_received(b"".join(encode_pdu(*pdu) for pdu in pdus))

    async def receive_many(self, *pdus: Pdu) -> None:
        """The same, and all of them are processed when this returns."""
        self.receive(*pdus)
        for _ in range(len(pdus) // TURN_PDUS.start + 1):
            await asyncio.sleep(0)

    def accept(self, *sequences: int) -> None:
        """The SMSC accepts the submits with these sequence numbers."""
        self.receive(*(Pdu(SUBMIT_SM_RESP, 0, each, b"id%d\0" % each) for each in sequences))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.session.tick(self.now)


class RecordingClient:
    """Submits a queue of messages through one or many sessions and keeps every outcome of each token."""

    def __init__(self, smsc: SmscServer, port: int | None = None) -> None:
        self.smsc = smsc
        self.port = port or smsc.port
        self.queue: list[tuple[SubmitTemplate, bytes, int]] = []
        self.group = 1
        self.template = TEMPLATE
        self.accepted: dict[int, bytes] = {}
        self.refused: list[tuple[int, int]] = []
        self.unknown: list[int] = []
        self.late: list[int] = []
        self.second: list[int] = []
        self.outcomes: Counter[int] = Counter()
        self.deliveries: list[Delivery] = []
        self.errors: list[SmppError] = []
        self.answer_status: int | None = 0
        self.events: list[str] = []
        self.sessions: list[Session[int]] = []

    def offer(self, count: int, first: int = 0, template: SubmitTemplate = TEMPLATE) -> None:
        """Put messages with the tokens from `first` into the queue, and submit what there is room for."""
        self.queue += [(template, b"49151%08d" % number, number) for number in range(first, first + count)]
        for session in self.sessions:
            self.on_room(session)

    async def connect(self, **changes: Unpack[BindChanges]) -> Session[int]:
        config = BindConfig(host="127.0.0.1", port=self.port, system_id="client")
        session = await connect(replace(config, **changes), self)
        self.sessions.append(session)
        self.on_room(session)
        return session

    def change_behaviour(self, **changes: object) -> None:
        """Have the simulator behave differently from now on."""
        simulator = self.smsc.simulator
        simulator.change_behaviour(simulator.state.behaviour.change(changes))

    async def until_outcomes(self, count: int) -> None:
        """Wait until so many tokens have an outcome."""
        await eventually(lambda: len(self.outcomes) >= count)

    async def until_enquire_link(self) -> None:
        """Wait for an enquire_link that begins from now on: what the simulator had to send before, it has sent."""
        metrics = self.smsc.simulator.state.metrics
        before = metrics.enquire_links
        await eventually(lambda: metrics.enquire_links > before)

    async def close(self) -> None:
        for session in self.sessions:
            session.abort()
            await session.closed.wait()
        await self.smsc.stop()

    def on_room(self, session: Session[int]) -> None:
        if self.queue:
            taken = session.submit_many(self.queue[:2000], self.group)
            del self.queue[:taken]

    def on_responses(self, _session: Session[int], responses: list[Response[int]]) -> None:
        self.events.append("responses")
        for token, status, message_id, _ in responses:
            self.outcomes[token] += 1
            if status == 0:
                self.accepted[token] = message_id
            else:
                self.refused.append((token, status))

    def on_late(self, _session: Session[int], responses: list[Response[int]]) -> None:
        self.late += [token for token, *_ in responses]

    def on_second(self, _session: Session[int], responses: list[Response[int]]) -> None:
        self.second += [token for token, *_ in responses]

    def on_deliveries(self, session: Session[int], deliveries: list[Delivery]) -> None:
        self.events.append("deliveries")
        self.deliveries += deliveries
        if self.answer_status is not None:
            session.answer([delivery.sequence for delivery in deliveries], self.answer_status)

    def on_lost(self, _session: Session[int], error: SmppError, unanswered: list[int]) -> None:
        self.errors.append(error)
        self.unknown += unanswered
        self.outcomes.update(unanswered)


class StartClient(Protocol):
    """The fixture `start`: starts a simulator, returns a client for it that has not connected yet."""

    def __call__(
        self, config: SmscConfig | None = None, *, port: int | None = None, **behaviour: object
    ) -> Awaitable[RecordingClient]: ...


async def start_client(config: SmscConfig | None, behaviour: dict[str, object], port: int | None) -> RecordingClient:
    """A simulator with this behaviour, and a client for it, or for the SMSC on `port`."""
    smsc = await SmscServer.start(config or SmscConfig(), Behaviour().change(behaviour))
    return RecordingClient(smsc, port)
