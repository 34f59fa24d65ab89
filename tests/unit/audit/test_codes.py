"""The numbers in the tables are for ever."""

from broadcast.audit import codes
from schemas.receipt import FINAL_RECEIPT_STATES, ReceiptState
from schemas.status import DeliveryState, Outcome


def test_every_word_has_its_number_and_no_number_two_words() -> None:
    for table, words in (
        (codes.CODE_OF_OUTCOME, Outcome),
        (codes.CODE_OF_RECEIPT, ReceiptState),
        (codes.CODE_OF_STATE, DeliveryState),
    ):
        assert set(table) == set(words)
        assert len(set(table.values())) == len(table)


def test_stored_numbers_mean_what_they_always_meant() -> None:
    assert {state.value: code for state, code in codes.CODE_OF_STATE.items()} == {
        "queued": 0,
        "submitted": 1,
        "delivered": 2,
        "undelivered": 3,
        "expired": 4,
        "rejected": 5,
        "failed": 6,
        "cancelled": 7,
        "suppressed": 8,
        "unknown": 9,
    }
    assert [outcome.value for outcome, _ in sorted(codes.CODE_OF_OUTCOME.items(), key=lambda item: item[1])] == [
        "accepted",
        "refused",
        "refused_for_now",
        "unknown",
        "expired",
        "cancelled",
        "failed",
    ]
    assert max(codes.CODE_OF_STATE.values()) < codes.POSSIBLE_DUPLICATES


def test_a_final_receipt_outranks_every_other() -> None:
    final = {codes.CODE_OF_RECEIPT[state] for state in FINAL_RECEIPT_STATES}
    assert min(final) > max(code for code in codes.CODE_OF_RECEIPT.values() if code not in final)
    assert max(final) == codes.CODE_OF_RECEIPT[ReceiptState.DELIVERED]
