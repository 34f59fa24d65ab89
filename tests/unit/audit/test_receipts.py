"""Several receipts for one message: the same answer in any order, however often each is repeated."""

from functools import reduce
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from broadcast.audit.attempts.receipts import MergedReceipt, merge, merge_receipts
from broadcast.audit.codes import CODE_OF_RECEIPT
from broadcast.audit.message_key import message_key
from schemas.receipt import Receipt, ReceiptState

merged = st.builds(
    MergedReceipt,
    st.just(1),
    st.just(2),
    st.sampled_from(sorted(CODE_OF_RECEIPT.values())),
    st.integers(0, 3),
    st.sampled_from(["", "a", "b"]),
    st.integers(1, 4).map(lambda number: (number,)),
    st.just("a"),
    st.booleans(),
)


@given(st.lists(merged, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_merging_does_not_depend_on_order_or_repetition(several: list[MergedReceipt], random: Random) -> None:
    shuffled = several + several[: len(several) // 2]
    random.shuffle(shuffled)
    assert reduce(merge, several) == reduce(merge, shuffled)


def test_a_late_enroute_changes_nothing_and_a_late_delivery_counts() -> None:
    receipts = [
        Receipt("a", "1", ReceiptState.UNDELIVERABLE, 9, received_at=10),
        Receipt("a", "1", ReceiptState.DELIVERED, 9, received_at=20),
        Receipt("a", "1", ReceiptState.ENROUTE, 9, received_at=30),
    ]
    into: dict[int, MergedReceipt] = {}
    merge_receipts(receipts, [0, 0, 0], 5, into)
    assert list(into.values()) == [MergedReceipt(message_key("a", "1"), 9, 80, 20, "", (5,), "a")]


def test_one_id_with_two_numbers_is_two_messages() -> None:
    into: dict[int, MergedReceipt] = {}
    merge_receipts(
        [Receipt("a", "1", ReceiptState.DELIVERED, 9), Receipt("a", "1", ReceiptState.ENROUTE, 8)], [3, 4], 5, into
    )
    assert sorted((one.number_hash, one.code, one.received_at) for one in into.values()) == [(8, 10, 4), (9, 80, 3)]


def test_message_keys_are_stable_and_keep_account_and_id_apart() -> None:
    assert message_key("sim", "1") == -6171940975212374655
    assert len({message_key("a", "bc"), message_key("ab", "c"), message_key("abc", ""), message_key("", "abc")}) == 4
    assert all(-(2**63) <= message_key("a", str(number)) < 2**63 for number in range(100))
