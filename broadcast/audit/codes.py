"""Numbers that the audit's tables keep instead of words. Stable for ever: add, never change or reuse one."""

from schemas.receipt import FINAL_RECEIPT_STATES, ReceiptState
from schemas.status import STATE_OF_RECEIPT, DeliveryState, Outcome, state_of_attempt

CODE_OF_OUTCOME: dict[Outcome, int] = {
    Outcome.ACCEPTED: 1,
    Outcome.REFUSED: 2,
    Outcome.REFUSED_FOR_NOW: 3,
    Outcome.UNKNOWN: 4,
    Outcome.EXPIRED: 5,
    Outcome.CANCELLED: 6,
    Outcome.FAILED: 7,
}

CODE_OF_RECEIPT: dict[ReceiptState, int] = {
    ReceiptState.ENROUTE: 10,
    ReceiptState.ACCEPTED: 20,
    ReceiptState.UNKNOWN: 30,
    ReceiptState.REJECTED: 40,
    ReceiptState.DELETED: 50,
    ReceiptState.EXPIRED: 60,
    ReceiptState.UNDELIVERABLE: 70,
    ReceiptState.DELIVERED: 80,
}
"""Also the rank of a receipt among several for one attempt: the highest counts, whatever came first.

So a late ENROUTE never overwrites a final state, and a phone that was reached after all counts as reached.
"""

CODE_OF_STATE: dict[DeliveryState, int] = {
    DeliveryState.QUEUED: 0,
    DeliveryState.SUBMITTED: 1,
    DeliveryState.DELIVERED: 2,
    DeliveryState.UNDELIVERED: 3,
    DeliveryState.EXPIRED: 4,
    DeliveryState.REJECTED: 5,
    DeliveryState.FAILED: 6,
    DeliveryState.CANCELLED: 7,
    DeliveryState.SUPPRESSED: 8,
    DeliveryState.UNKNOWN: 9,
}

QUEUED = CODE_OF_STATE[DeliveryState.QUEUED]
SUBMITTED = CODE_OF_STATE[DeliveryState.SUBMITTED]

REACHED_COUNT = f"""
    coalesce(sum(c.count) FILTER (
        WHERE c.state = {CODE_OF_STATE[DeliveryState.DELIVERED]} AND a.simulated IS DISTINCT FROM 'all'
    ), 0)::bigint
"""
"""SQL: how many recipients of `alerts a` have a receipt that says delivered, by its `counters c`.

Nobody if all of its way is simulated.
"""

POSSIBLE_DUPLICATES = 100
"""In `counters.state`: recipients with at least one attempt that is marked. Not a state, so not part of the sum."""

OUTCOME_OF_CODE: dict[int, Outcome] = {code: outcome for outcome, code in CODE_OF_OUTCOME.items()}
RECEIPT_OF_CODE: dict[int, ReceiptState] = {code: state for state, code in CODE_OF_RECEIPT.items()}
STATE_OF_CODE: dict[int, DeliveryState] = {code: state for state, code in CODE_OF_STATE.items()}

STATE_OF_CODES: dict[tuple[int, int | None], DeliveryState] = {
    (outcome, receipt): state_of_attempt(word, None if receipt is None else RECEIPT_OF_CODE[receipt])
    for outcome, word in OUTCOME_OF_CODE.items()
    for receipt in (None, *RECEIPT_OF_CODE)
}
"""State that an attempt supports, by the codes of its outcome and receipt."""

STATE_CODE_OF_RECEIPT: dict[int, int] = {
    code: CODE_OF_STATE[STATE_OF_RECEIPT[state]] for state, code in CODE_OF_RECEIPT.items()
}
"""Code of a receipt to code of the state that it supports."""

FINAL_RECEIPT_CODES = frozenset(CODE_OF_RECEIPT[state] for state in FINAL_RECEIPT_STATES)
LOWEST_FINAL_RECEIPT = min(FINAL_RECEIPT_CODES)
