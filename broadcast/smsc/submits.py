"""What the simulator does with submits: plan, count, respond, schedule receipts."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from broadcast.smpp.codec.command_status import RINVDSTADR, RTHROTTLED, name_status
from broadcast.smsc.accounts import Account, Bind
from broadcast.smsc.counts.rates import LoopWatch
from broadcast.smsc.counts.submit_counts import TextKey
from broadcast.smsc.counts.violations import Violation
from broadcast.smsc.pdu_writer import PduWriter, round_up
from broadcast.smsc.pdus.responses import Responses, render_accepted, render_congestion, render_error
from broadcast.smsc.pdus.submit_layout import SubmitLayout
from broadcast.smsc.receipt_scheduler import ReceiptScheduler
from broadcast.smsc.state import SmscState
from broadcast.smsc.submit_plan import ReceiptPlan, SubmitPlan


class SubmitHandler:
    """Takes the submits of all binds; message numbers begin at `first_number` and are never given out twice."""

    def __init__(self, state: SmscState, first_number: int) -> None:
        self._state: Final = state
        self._receipts: Final = ReceiptScheduler(state)
        self._number = first_number - 1
        self._loop_watch: Final = LoopWatch(state.now)
        self._refusals: Final[Counter[tuple[TextKey, int]]] = Counter()

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
        if state.began_at is None:
            state.begin()
        account = bind.account
        metrics, count = state.metrics, len(sequences)
        metrics.last_submit_at = time.time()
        metrics.first_submit_at = metrics.first_submit_at or metrics.last_submit_at
        metrics.submits += count
        account.metrics.submits += count
        behaviour = account.behaviour
        try:
            numbers = list(map(int, destinations))
        except ValueError:
            numbers = []
        paused_since = self._loop_watch.paused_since() if behaviour.rate_limit else None
        if paused_since is None:
            total = account.rate.add(state.now(), count)
        else:
            total = account.rate.spread(paused_since, state.now(), count)
        if account.has_limits or layout.faults or layout.long_message is not None:
            self._check(bind, layout, numbers, count, total)
        if not account.plain or not numbers:
            self._take_each(bind, writer, layout, sequences, destinations)
            return
        first = self._number + 1
        self._number += count
        state.submit_counts.add(layout.key, numbers)
        ids = range(first, first + count)
        if behaviour.silent:
            metrics.unanswered += count
            account.metrics.unanswered += count
        else:
            metrics.accepted += count
            account.metrics.accepted += count
            writer.add_responses(render_accepted(behaviour, sequences, ids), count)
        if behaviour.receipts and layout.wants_success:
            self._receipts.schedule_plain(account, layout, ids, numbers)

    def _check(self, bind: Bind, layout: SubmitLayout, numbers: Sequence[int], count: int, total: int) -> None:
        """Count what the client does against the limits of its account, and against 3.4; `total` in this second."""
        account, state = bind.account, self._state
        behaviour, name, session = account.behaviour, account.name, bind.metrics.number
        if behaviour.rate_limit and total > behaviour.rate_limit * (1 + behaviour.rate_tolerance):
            above = int(total - behaviour.rate_limit * (1 + behaviour.rate_tolerance)) or 1
            state.violate(
                Violation.RATE_EXCEEDED,
                name,
                session,
                f"{total} submits in a second, allowed {behaviour.rate_limit:g}",
                min(count, above),
            )
        if behaviour.window_limit and bind.metrics.unanswered > behaviour.window_limit:
            above = bind.metrics.unanswered - behaviour.window_limit
            state.violate(
                Violation.WINDOW_EXCEEDED,
                name,
                session,
                f"{bind.metrics.unanswered} unanswered, allowed {behaviour.window_limit}",
                min(count, above),
            )
        if behaviour.validity_required and not layout.message.validity_period:
            state.violate(Violation.VALIDITY_MISSING, name, session, "no validity_period", count)
        for fault in layout.faults:
            state.violate(fault, name, session, f"source {layout.message.source!r}", count)
        if layout.long_message is not None and numbers:
            self._check_parts(bind, layout.long_message, layout.key.segment, numbers)

    def _check_parts(self, bind: Bind, message: tuple[int, int], part: int, numbers: Sequence[int]) -> None:
        state, session = self._state, bind.metrics.number
        if part == 1:
            state.parts.add_first(message, session, numbers)
            return
        for number in state.parts.missing_first(message, session, numbers):
            others = state.parts.binds_with_first(message, number)
            accounts = {each.account for each in state.binds if each.number in others}
            kind = Violation.PART_WITHOUT_FIRST
            if others:
                same = not accounts or bind.account.name in accounts
                kind = Violation.PARTS_OVER_BINDS if same else Violation.PARTS_OVER_ACCOUNTS
            state.violate(
                kind, bind.account.name, session, f"part {part} of {message[1]}; part 1 on binds {others or 'none'}"
            )

    def _take_each(
        self,
        bind: Bind,
        writer: PduWriter,
        layout: SubmitLayout,
        sequences: Sequence[int],
        destinations: Sequence[bytes],
    ) -> None:
        """The same where plans differ."""
        account, counts = bind.account, self._state.submit_counts
        behaviour, planner, refusals = account.behaviour, account.planner, self._refusals
        key, part, elapsed = layout.key, layout.key.segment, self._state.elapsed
        allowed = self._count_allowed(bind, len(sequences))
        tail = render_congestion(account.rate.total(self._state.now()), behaviour.congestion_rate)
        responses = Responses(behaviour, writer, tail)
        # By plan and delays; plans are shared, so that their identity is enough.
        taken: dict[tuple[int, float, float], tuple[ReceiptPlan, list[int], list[int]]] = {}
        accepted = unanswered = 0
        for position, (sequence, address) in enumerate(zip(sequences, destinations, strict=True)):
            number = int(address) if address.isdigit() else None
            delay = receipt_delay = 0.0
            if number is None:
                plan = SubmitPlan(RINVDSTADR)
            elif position >= allowed:
                plan = SubmitPlan(RTHROTTLED)
            elif behaviour.number_cap and not account.number_rates.admit(
                number, behaviour.number_cap, behaviour.number_cap_seconds
            ):
                plan = SubmitPlan(behaviour.number_cap_status)
            else:
                repetition = counts.count(key, number)
                if refusals:
                    repetition += refusals.get((key, number), 0)
                plan, delay, receipt_delay = planner.draw(number, part, repetition, elapsed)
                if plan.status or plan.nack or not plan.takes:
                    refusals[key, number] += 1
            if plan.status or plan.nack or number is None:
                if plan.unanswered:
                    unanswered += 1
                else:
                    self._refuse(account, plan.status)
                    responses.add(render_error(behaviour, sequence, plan), plan, delay)
                continue
            if plan.reaches_client and not behaviour.silent:
                accepted += 1
            else:
                unanswered += 1
            if plan.takes or not plan.unanswered:
                self._number += 1
                if not plan.unanswered and not behaviour.silent:
                    responses.accept(sequence, self._number, plan, delay)
            if plan.takes:
                counts.add_one(key, number)
                receipt = plan.receipt
                grouped = (id(receipt), delay if receipt.intermediate else 0.0, round_up(delay + receipt_delay))
                _, ids, numbers = taken.setdefault(grouped, (receipt, [], []))
                ids.append(self._number)
                numbers.append(number)
        for each in (self._state.metrics, account.metrics):
            each.accepted += accepted
            each.unanswered += unanswered
        if behaviour.receipts:
            early, schedule = False, self._receipts.schedule_planned
            for (_, delay, after), (receipt, ids, numbers) in taken.items():
                early |= schedule(account, layout, ids, numbers, plan=receipt, delays=(delay, after))
            if early:
                account.receipts.send_due()
        responses.end()

    def _count_allowed(self, bind: Bind, count: int) -> int:
        """How many of `count` submits pass the window cap and the rate cap."""
        behaviour, account = bind.account.behaviour, bind.account
        allowed = count
        if behaviour.window_cap:
            allowed = min(allowed, max(0, behaviour.window_cap - (bind.metrics.unanswered - count)))
        if behaviour.rate_cap:
            now = self._state.now()
            allowed = min(allowed, max(0, behaviour.rate_cap - account.allowed.total(now)))
            account.allowed.add(now, allowed)
        return allowed

    def _refuse(self, account: Account, status: int) -> None:
        name = name_status(status)
        for metrics in (self._state.metrics, account.metrics):
            metrics.refused += 1
            metrics.refused_by_status[name] = metrics.refused_by_status.get(name, 0) + 1
