"""What the simulator does with submits: plan, count, respond, schedule receipts."""

import struct
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from broadcast.smpp.codec.command_status import RINVDSTADR, ROK, RTHROTTLED, name_status
from broadcast.smpp.codec.pdu import HEADER, HEADER_LENGTH, SUBMIT_SM_RESP
from broadcast.smpp.codec.receipts import MessageState
from broadcast.smsc.accounts import Account, Bind
from broadcast.smsc.pdu_writer import PduWriter
from broadcast.smsc.receipts import ReceiptBatch, format_ids
from broadcast.smsc.state import SmscState
from broadcast.smsc.submit_layout import SubmitLayout
from broadcast.smsc.submit_plan import SubmitPlan

# Numbers that the simulator never gives out, for receipts of an unknown id.
UNKNOWN_FROM: Final = 10**18
_ACCEPTED: Final = SubmitPlan(ROK, False, False, False, False, False)


class SubmitHandler:
    """Takes the submits of all binds; message numbers begin at `first_number` and are never given out twice."""

    def __init__(self, state: SmscState, first_number: int) -> None:
        self._state: Final = state
        self._number = first_number - 1
        self._refusals: Final[Counter[int]] = Counter()
        self._second = 0
        self._second_count = 0

    def forget_refusals(self) -> None:
        """Plan as if no submit had been refused before; message numbers go on."""
        self._refusals.clear()

    def take(
        self,
        bind: Bind,
        writer: PduWriter,
        layout: SubmitLayout,
        sequences: Sequence[int],
        destinations: Sequence[bytes],
    ) -> None:
        """Take submits of one layout: count them, give their responses to the writer, schedule their receipts."""
        state = self._state
        metrics = state.metrics
        metrics.last_submit_at = time.time()
        metrics.first_submit_at = metrics.first_submit_at or metrics.last_submit_at
        metrics.submits += len(sequences)
        behaviour = state.behaviour
        try:
            numbers = list(map(int, destinations))
        except ValueError:
            numbers = []
        if not behaviour.plain or not numbers:
            self._take_each(bind, writer, layout, sequences, destinations)
            return
        first = self._number + 1
        self._number += len(numbers)
        state.submit_counts.add(layout.key, numbers)
        ids = range(first, first + len(numbers))
        if behaviour.silent:
            metrics.unanswered += len(numbers)
        else:
            metrics.accepted += len(numbers)
            writer.add_responses(self._render_accepted(sequences, ids), len(numbers))
        if behaviour.receipts and layout.wants_success:
            self._schedule(bind.account, self._make_batch(layout, ids, numbers))

    def _take_each(
        self,
        bind: Bind,
        writer: PduWriter,
        layout: SubmitLayout,
        sequences: Sequence[int],
        destinations: Sequence[bytes],
    ) -> None:
        """The same where plans differ."""
        behaviour, metrics, counts = self._state.behaviour, self._state.metrics, self._state.submit_counts
        allowed = self._count_allowed(bind, len(sequences))
        taken: dict[SubmitPlan, tuple[list[int], list[int]]] = {}
        accepted: list[tuple[int, int]] = []
        early: list[ReceiptBatch] = []
        for position, (sequence, address) in enumerate(zip(sequences, destinations, strict=True)):
            number = int(address) if address.isdigit() else None
            if number is None:
                plan = _ACCEPTED._replace(status=RINVDSTADR)
            elif position >= allowed:
                plan = _ACCEPTED._replace(status=RTHROTTLED)
            else:
                repetition = counts.count(layout.key, number) + self._refusals[number]
                plan = self._state.planner.plan(number, repetition)
            if plan.status or number is None:
                if number is not None and position < allowed:
                    self._refusals[number] += 1
                self._refuse(writer, sequence, plan.status)
                continue
            if plan.unanswered or behaviour.silent:
                metrics.unanswered += 1
                if plan.unanswered and not behaviour.hang_takes:
                    self._refusals[number] += 1
                    continue
            self._number += 1
            counts.add(layout.key, (number,))
            if not (plan.unanswered or behaviour.silent):
                metrics.accepted += 1
                accepted.append((sequence, self._number))
            ids, numbers = taken.setdefault(plan, ([], []))
            ids.append(self._number)
            numbers.append(number)
        for plan, (ids, numbers) in taken.items():
            early += self._schedule_by_plan(bind.account, layout, plan, ids, numbers)
        for batch in early:
            self._schedule(bind.account, batch)
        if early:
            bind.account.send_due_receipts()
        if accepted:
            writer.add_responses(
                self._render_accepted([each[0] for each in accepted], [each[1] for each in accepted]), len(accepted)
            )

    def _count_allowed(self, bind: Bind, count: int) -> int:
        """How many of `count` submits pass the window cap and the rate cap."""
        behaviour = self._state.behaviour
        allowed = count
        if behaviour.window_cap:
            allowed = min(allowed, max(0, behaviour.window_cap - (bind.metrics.unanswered - count)))
        if behaviour.rate_cap:
            second = int(self._state.now())
            if second != self._second:
                self._second, self._second_count = second, 0
            allowed = min(allowed, max(0, behaviour.rate_cap - self._second_count))
            self._second_count += allowed
        return allowed

    def _schedule_by_plan(
        self,
        account: Account,
        layout: SubmitLayout,
        plan: SubmitPlan,
        ids: Sequence[int],
        numbers: Sequence[int],
    ) -> Iterable[ReceiptBatch]:
        """Schedule the receipts of submits with one plan; returns those that go before the response."""
        state = MessageState.UNDELIVERABLE if plan.undelivered else MessageState.DELIVERED
        wanted = layout.wants_failure if plan.undelivered else layout.wants_success
        if not (self._state.behaviour.receipts and wanted):
            return []
        batches = [self._make_batch(layout, ids, numbers, state)]
        if plan.receipt_twice:
            batches.append(self._make_batch(layout, ids, numbers, state))
        if plan.receipt_unknown:
            unknown = [UNKNOWN_FROM + number for number in ids]
            batches.append(self._make_batch(layout, unknown, numbers, state))
        early = []
        if plan.receipt_first:
            early = [batches.pop(0)]
            early[0].due_at = 0.0
        for batch in batches:
            self._schedule(account, batch)
        return early

    def _make_batch(
        self,
        layout: SubmitLayout,
        ids: Sequence[int],
        numbers: Sequence[int],
        state: MessageState = MessageState.DELIVERED,
    ) -> ReceiptBatch:
        behaviour = self._state.behaviour
        due_at = self._state.now() + (behaviour.delay_ms + behaviour.receipt_delay_ms) / 1000
        return ReceiptBatch(layout, ids, numbers, due_at=due_at, submitted_at=time.time(), state=state)

    def _schedule(self, account: Account, batch: ReceiptBatch) -> None:
        account.schedule_receipts(batch)
        self._state.metrics.receipts_owed += len(batch)

    def _refuse(self, writer: PduWriter, sequence: int, status: int) -> None:
        metrics = self._state.metrics
        metrics.refused += 1
        name = name_status(status)
        metrics.refused_by_status[name] = metrics.refused_by_status.get(name, 0) + 1
        body = b"\0" if self._state.behaviour.error_body == "empty" else b""
        writer.add_responses(HEADER.pack(HEADER_LENGTH + len(body), SUBMIT_SM_RESP, status, sequence) + body, 1)

    def _render_accepted(self, sequences: Sequence[int], numbers: Sequence[int]) -> bytes | bytearray:
        """submit_sm_resp for each, as one piece."""
        behaviour = self._state.behaviour
        ids = format_ids(numbers, behaviour.message_id_format, behaviour.message_id_modulus)
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
