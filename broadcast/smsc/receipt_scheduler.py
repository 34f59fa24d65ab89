"""Which receipts a submit gets, when they are due, and that they are counted as owed."""

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from broadcast.smpp.codec.message import INTERMEDIATE_CLASS
from broadcast.smpp.codec.receipts import MessageState
from broadcast.smsc.accounts import Account
from broadcast.smsc.pdu_writer import round_up
from broadcast.smsc.pdus.receipt_texts import UNKNOWN_FROM
from broadcast.smsc.pdus.receipts import ReceiptBatch
from broadcast.smsc.pdus.submit_layout import SubmitLayout
from broadcast.smsc.state import SmscState
from broadcast.smsc.submit_plan import ReceiptForm, ReceiptPlan

_FAILURES: Final = frozenset(
    {
        MessageState.EXPIRED,
        MessageState.DELETED,
        MessageState.UNDELIVERABLE,
        MessageState.REJECTED,
        MessageState.UNKNOWN,
        MessageState.SKIPPED,
    }
)
_BEHIND_SECONDS: Final = 0.001


class ReceiptScheduler:
    """Gives receipts to the queue of their account; `ids` are message numbers, one for each destination."""

    def __init__(self, state: SmscState) -> None:
        self._state: Final = state

    def schedule_plain(
        self, account: Account, layout: SubmitLayout, ids: Sequence[int], numbers: Sequence[int]
    ) -> None:
        """One receipt for each, all alike, when the behaviour says."""
        behaviour = account.behaviour
        due_at = self._state.now() + (behaviour.delay_ms + behaviour.receipt_delay_ms) / 1000
        account.receipts.schedule(ReceiptBatch(layout, ids, numbers, due_at=due_at, submitted_at=time.time()))
        self._count(account, len(numbers))

    def schedule_planned(
        self,
        account: Account,
        layout: SubmitLayout,
        ids: Sequence[int],
        numbers: Sequence[int],
        *,
        plan: ReceiptPlan,
        delays: tuple[float, float],
    ) -> bool:
        """Schedule the receipts of submits with one plan; True if some go before the response.

        `delays` in seconds: of intermediate notifications, and of final receipts, after what the behaviour says.
        """
        first, last = delays
        for state in plan.intermediate:
            self._schedule(account, layout, ids, numbers, state, form=_intermediate_form(plan.form), delay=first)
        wanted = layout.wants_failure if plan.state in _FAILURES else layout.wants_success
        if not wanted:
            return False
        times = plan.times
        if plan.early and times:
            times -= 1
            batch = ReceiptBatch(
                layout, ids, numbers, due_at=0.0, submitted_at=time.time(), state=plan.state, form=plan.form
            )
            account.receipts.schedule(batch)
            self._count(account, len(numbers))
        for _ in range(times):
            self._schedule(account, layout, ids, numbers, plan.state, form=plan.form, delay=last)
        if plan.unknown_too and plan.times:
            unknown = [UNKNOWN_FROM + number for number in ids]
            self._schedule(account, layout, unknown, numbers, plan.state, form=plan.form, delay=last)
        return plan.early and plan.times > 0

    def _schedule(
        self,
        account: Account,
        layout: SubmitLayout,
        ids: Sequence[int],
        numbers: Sequence[int],
        state: MessageState,
        *,
        form: ReceiptForm,
        delay: float,
    ) -> None:
        due_at = self._state.now() + delay + (account.behaviour.delay_ms + account.behaviour.receipt_delay_ms) / 1000
        if delay:
            # Together with others, and behind the responses that are due then.
            due_at = round_up(due_at) + _BEHIND_SECONDS
        account.receipts.join(layout, state, form, ids, numbers, due_at=due_at)
        self._count(account, len(numbers))

    def _count(self, account: Account, count: int) -> None:
        self._state.metrics.receipts_owed += count
        account.metrics.receipts_owed += count


@lru_cache(maxsize=256)
def _intermediate_form(form: ReceiptForm) -> ReceiptForm:
    return form if form.esm_class is not None else form._replace(esm_class=INTERMEDIATE_CLASS)
