"""The simulator on a free port of this process's loop, and a listener that keeps books."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from broadcast.smpp.account import BindConfig
from broadcast.smpp.binding import connect
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.session import Session
from broadcast.smpp.window import Response
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.server import SmscConfig, SmscServer

TEMPLATE = SubmitTemplate(source=b"TOCSIN", text=b"Flood warning")
BUDGET_SECONDS = 20.0


class Desk:
    """Submits a list of messages through one or many sessions and notes every outcome of each token."""

    def __init__(self, smsc: SmscServer) -> None:
        self.smsc = smsc
        self.queue: list[tuple[SubmitTemplate, bytes, int]] = []
        self.group = 1
        self.accepted: dict[int, bytes] = {}
        self.refused: list[tuple[int, int]] = []
        self.unknown: list[int] = []
        self.late: list[int] = []
        self.outcomes: Counter[int] = Counter()
        self.deliveries: list[Delivery] = []
        self.errors: list[SmppError] = []
        self.answer_status: int | None = 0
        self.events: list[str] = []
        self.sessions: list[Session[int]] = []

    def offer(self, count: int, first: int = 0, template: SubmitTemplate = TEMPLATE) -> None:
        self.queue += [(template, b"49151%08d" % number, number) for number in range(first, first + count)]
        for session in self.sessions:
            self.on_room(session)

    async def connect(self, **changes: Any) -> Session[int]:
        values = {"host": "127.0.0.1", "port": self.smsc.port, "system_id": "desk", **changes}
        session = await connect(BindConfig(**values), self)
        self.sessions.append(session)
        self.on_room(session)
        return session

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(BUDGET_SECONDS):
            while not condition():
                await asyncio.sleep(0.005)

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

    def on_deliveries(self, session: Session[int], deliveries: list[Delivery]) -> None:
        self.events.append("deliveries")
        self.deliveries += deliveries
        if self.answer_status is not None:
            session.answer([delivery.sequence for delivery in deliveries], self.answer_status)

    def on_lost(self, _session: Session[int], error: SmppError, unanswered: list[int]) -> None:
        self.errors.append(error)
        self.unknown += unanswered
        self.outcomes.update(unanswered)


Start = Callable[..., Awaitable[Desk]]


@pytest.fixture
def desk_class() -> type[Desk]:
    """For a test that runs a loop of its own."""
    return Desk


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a simulator with a behaviour (and seed, system_id, password, tls...); returns a desk that knows it."""
    desks: list[Desk] = []

    async def begin(config: SmscConfig | None = None, **behaviour: Any) -> Desk:
        desks.append(Desk(await SmscServer.start(config or SmscConfig(), Behaviour(**behaviour))))
        return desks[-1]

    yield begin
    for desk in desks:
        for session in desk.sessions:
            session.abort()
            await session.closed.wait()
        await desk.smsc.stop()
