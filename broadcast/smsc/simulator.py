"""The SMSC itself: who may bind, what becomes of a submit, what is counted."""

import asyncio
import struct
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from broadcast.smpp.codec.bind import BindRequest
from broadcast.smpp.codec.command_status import RALYBND, RINVDSTADR, RINVPASWD, RINVSYSID, ROK, RTHROTTLED, name_status
from broadcast.smpp.codec.message import ShortMessage
from broadcast.smpp.codec.pdu import HEADER, HEADER_LENGTH, SUBMIT_SM_RESP
from broadcast.smpp.codec.receipts import MessageState
from broadcast.smsc.account import Account
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.link import Link
from broadcast.smsc.metrics import BindFigures, Figures
from broadcast.smsc.receipts import Run, format_ids
from broadcast.smsc.submit_counts import Ledger
from broadcast.smsc.submit_layout import Shape
from broadcast.smsc.submit_plan import Fate, Fates

# The statistics name this many binds, the newest; a fault test makes hundreds.
BINDS_KEPT: Final = 500
# Numbers that the simulator never gives out, for receipts of an unknown id.
UNKNOWN_FROM: Final = 10**18
_GOOD: Final = Fate(ROK, False, False, False, False, False)


class PhoneMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message from a phone, in GSM letters that are ASCII; numbers without a plus sign."""

    source: str
    destination: str
    text: str


class Simulator:
    """State of the SMSC over all connections; `system_id` None admits everyone."""

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        seed: int = 0,
        system_id: str | None = None,
        password: str | None = None,
        first_number: int = 1,
    ) -> None:
        self.behaviour = behaviour
        self.figures = Figures()
        self.ledger = Ledger()
        self.links: set[Link] = set()
        self.binds: deque[BindFigures] = deque(maxlen=BINDS_KEPT)
        self._accounts: dict[bytes, Account] = {}
        self._seed: Final = seed
        self._fates = Fates(seed, behaviour)
        self._system_id: Final = system_id
        self._password: Final = password
        self._number = first_number - 1
        self._refusals: Counter[int] = Counter()
        self._second = 0
        self._second_count = 0
        self.now: Final = asyncio.get_running_loop().time

    def change(self, behaviour: Behaviour) -> None:
        """Behave so from now on."""
        self.behaviour = behaviour
        self._fates = Fates(self._seed, behaviour)
        for link in tuple(self.links):
            link.outbox.release()
        for account in self._accounts.values():
            account.pump()

    def reset(self) -> None:
        """Forget all counts and receipts that wait; binds stay, ids go on."""
        self.figures = Figures()
        self.ledger = Ledger()
        self._refusals.clear()
        bound = [bind for bind in self.binds if bind.bound]
        self.binds.clear()
        for bind in bound:
            bind.submits = 0
            bind.highest_unanswered = bind.unanswered
            self.binds.append(bind)
        for account in self._accounts.values():
            account.forget()

    def send_messages(self, messages: Sequence[PhoneMessage]) -> int:
        """Send messages from phones to any bind that receives; returns how many, 0 without such a bind."""
        link = next((link for link in self.links if link.receipt_room > 0), None)
        if link is None or self.behaviour.silent:
            return 0
        for message in messages:
            link.send_message(
                ShortMessage(
                    source_ton=1,
                    source_npi=1,
                    source=message.source.encode("ascii"),
                    destination=message.destination.encode("ascii"),
                    short_message=message.text.encode("ascii"),
                )
            )
        self.figures.messages_sent += len(messages)
        return len(messages)

    def judge_bind(self, request: BindRequest) -> int:
        """The command_status of the answer to a bind."""
        if self.behaviour.refuse_binds:
            return self.behaviour.refuse_binds
        if self._system_id is not None and request.system_id != self._system_id.encode():
            return RINVSYSID
        if self._password is not None and request.password != self._password.encode():
            return RINVPASWD
        if self.behaviour.max_binds and self.binds_now >= self.behaviour.max_binds:
            return RALYBND
        return ROK

    def admit(self, link: Link, request: BindRequest, mode: str) -> tuple[Account, BindFigures]:
        """Enter a new bind; the receipts owed to its account follow on the next pump."""
        account = self._accounts.get(request.system_id)
        if account is None:
            account = self._accounts[request.system_id] = Account(self)
        account.links.append(link)
        self.figures.binds_total += 1
        figures = BindFigures(
            number=self.figures.binds_total,
            system_id=request.system_id.decode("latin-1"),
            mode=mode,
            bound_at=time.time(),
        )
        self.binds.append(figures)
        return account, figures

    @property
    def binds_now(self) -> int:
        """Binds that stand."""
        return sum(link.figures is not None for link in self.links)

    def take(self, link: Link, shape: Shape, sequences: Sequence[int], destinations: Sequence[bytes]) -> None:
        """Decide on submits of one layout, count them, answer them into the link's outbox, owe their receipts."""
        figures = self.figures
        figures.last_submit_at = time.time()
        figures.first_submit_at = figures.first_submit_at or figures.last_submit_at
        figures.submits += len(sequences)
        behaviour = self.behaviour
        try:
            numbers = list(map(int, destinations))
        except ValueError:
            numbers = []
        if not behaviour.plain or not numbers:
            self._take_each(link, shape, sequences, destinations)
            return
        first = self._number + 1
        self._number += len(numbers)
        self.ledger.add(shape.key, numbers)
        ids = range(first, first + len(numbers))
        if behaviour.silent:
            figures.unanswered += len(numbers)
        else:
            figures.accepted += len(numbers)
            link.outbox.answer(self._render_accepted(sequences, ids), len(numbers))
        if behaviour.receipts and shape.wants_success:
            self._owe(link, self._make_run(shape, ids, numbers))

    def _take_each(self, link: Link, shape: Shape, sequences: Sequence[int], destinations: Sequence[bytes]) -> None:
        """The same where fates differ."""
        behaviour, figures = self.behaviour, self.figures
        allowed = self._count_allowed(link, len(sequences))
        taken: dict[Fate, tuple[list[int], list[int]]] = {}
        accepted: list[tuple[int, int]] = []
        early: list[Run] = []
        for position, (sequence, address) in enumerate(zip(sequences, destinations, strict=True)):
            number = int(address) if address.isdigit() else None
            if number is None:
                fate = _GOOD._replace(status=RINVDSTADR)
            elif position >= allowed:
                fate = _GOOD._replace(status=RTHROTTLED)
            else:
                repetition = self.ledger.count(shape.key, number) + self._refusals[number]
                fate = self._fates.decide(number, repetition)
            if fate.status or number is None:
                if number is not None and position < allowed:
                    self._refusals[number] += 1
                self._refuse(link, sequence, fate.status)
                continue
            if fate.hangs or behaviour.silent:
                figures.unanswered += 1
                if fate.hangs and not behaviour.hang_takes:
                    self._refusals[number] += 1
                    continue
            self._number += 1
            self.ledger.add(shape.key, (number,))
            if not (fate.hangs or behaviour.silent):
                figures.accepted += 1
                accepted.append((sequence, self._number))
            ids, numbers = taken.setdefault(fate, ([], []))
            ids.append(self._number)
            numbers.append(number)
        for fate, (ids, numbers) in taken.items():
            early += self._owe_by_fate(link, shape, fate, ids, numbers)
        for run in early:
            self._owe(link, run)
        if early and link.account is not None:
            link.account.pump()
        if accepted:
            link.outbox.answer(
                self._render_accepted([each[0] for each in accepted], [each[1] for each in accepted]), len(accepted)
            )

    def _count_allowed(self, link: Link, count: int) -> int:
        """How many of `count` submits pass the window cap and the rate cap."""
        behaviour = self.behaviour
        allowed = count
        if behaviour.window_cap and link.figures is not None:
            allowed = min(allowed, max(0, behaviour.window_cap - (link.figures.unanswered - count)))
        if behaviour.rate_cap:
            second = int(self.now())
            if second != self._second:
                self._second, self._second_count = second, 0
            allowed = min(allowed, max(0, behaviour.rate_cap - self._second_count))
            self._second_count += allowed
        return allowed

    def _owe_by_fate(
        self, link: Link, shape: Shape, fate: Fate, ids: Sequence[int], numbers: Sequence[int]
    ) -> Iterable[Run]:
        """Owe the receipts of submits with one fate; returns those that go before the response."""
        state = MessageState.UNDELIVERABLE if fate.undelivered else MessageState.DELIVERED
        wanted = shape.wants_failure if fate.undelivered else shape.wants_success
        if not (self.behaviour.receipts and wanted):
            return []
        runs = [self._make_run(shape, ids, numbers, state)]
        if fate.receipt_twice:
            runs.append(self._make_run(shape, ids, numbers, state))
        if fate.receipt_unknown:
            unknown = [UNKNOWN_FROM + number for number in ids]
            runs.append(self._make_run(shape, unknown, numbers, state))
        early = []
        if fate.receipt_first:
            early = [runs.pop(0)]
            early[0].due_at = 0.0
        for run in runs:
            self._owe(link, run)
        return early

    def _make_run(
        self, shape: Shape, ids: Sequence[int], numbers: Sequence[int], state: MessageState = MessageState.DELIVERED
    ) -> Run:
        due_at = self.now() + (self.behaviour.delay_ms + self.behaviour.receipt_delay_ms) / 1000
        return Run(shape, ids, numbers, due_at=due_at, submitted_at=time.time(), state=state)

    def _owe(self, link: Link, run: Run) -> None:
        if link.account is not None:
            link.account.owe(run)
            self.figures.receipts_owed += len(run)

    def _refuse(self, link: Link, sequence: int, status: int) -> None:
        self.figures.refused += 1
        name = name_status(status)
        self.figures.refused_by_status[name] = self.figures.refused_by_status.get(name, 0) + 1
        body = b"\0" if self.behaviour.error_body == "empty" else b""
        link.outbox.answer(HEADER.pack(HEADER_LENGTH + len(body), SUBMIT_SM_RESP, status, sequence) + body, 1)

    def _render_accepted(self, sequences: Sequence[int], numbers: Sequence[int]) -> bytes | bytearray:
        """submit_sm_resp for each, as one piece."""
        ids = format_ids(numbers, self.behaviour.message_id_format, self.behaviour.message_id_modulus)
        widths = set(map(len, ids))
        if len(widths) > 1:
            return b"".join(
                [
                    HEADER.pack(HEADER_LENGTH + len(each) + 1, SUBMIT_SM_RESP, ROK, sequence) + each + b"\0"
                    for sequence, each in zip(sequences, ids, strict=True)
                ]
            )
        width = widths.pop()
        length = HEADER_LENGTH + width + 1
        block = bytearray(HEADER.pack(length, SUBMIT_SM_RESP, ROK, 0) + bytes(width + 1)) * len(ids)
        pack_into = struct.Struct(f">I{width}s").pack_into
        for offset, sequence, message_id in zip(range(12, len(block), length), sequences, ids, strict=True):
            pack_into(block, offset, sequence, message_id)
        return block

    def describe(self) -> dict[str, object]:
        """The statistics, as GET /stats gives them."""
        return {
            **msgspec.to_builtins(self.figures),
            "binds_now": self.binds_now,
            "binds": [msgspec.to_builtins(bind) for bind in self.binds],
            "highest_unanswered": max((bind.highest_unanswered for bind in self.binds), default=0),
            "unique_destinations": self.ledger.unique_destinations,
            "duplicates": self.ledger.duplicates,
            "duplicate_destinations": self.ledger.repeats,
            "receipts_waiting": sum(account.waiting for account in self._accounts.values()),
        }
