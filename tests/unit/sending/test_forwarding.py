"""Whatever an SMSC delivers, it ends no sender, and what came with it goes on."""

from hypothesis import given
from hypothesis import strategies as st

from broadcast.routing import Account
from broadcast.sending.forwarding import DeliveryEncoder
from broadcast.smpp.codec.message import Delivery

ACCOUNT = Account(name="acc", host="h", port=1, system_id="s")
GOOD = Delivery(2, 4, b"447700900123", b"T", 0, b"id:7 stat:DELIVRD", b"")


def encoded(*deliveries: Delivery) -> tuple[int, int]:
    """How many receipts and how many messages of phones go to Kafka."""
    receipts: list[tuple[bytes, bytes]] = []
    inbound: list[tuple[bytes, bytes]] = []
    DeliveryEncoder("r", b"k").encode(ACCOUNT, deliveries, 1, receipts=receipts, inbound=inbound)
    return len(receipts), len(inbound)


def test_a_message_with_broken_parameters_is_dropped_alone() -> None:
    broken = Delivery(1, 0, b"447700900123", b"T", 0, b"", b"\x04\x24\x00\x20abc")
    stray = Delivery(1, 0, b"447700900123", b"T", 0, b"", b"\0")
    assert encoded(broken, GOOD, stray) == (1, 0)


def test_a_receipt_whose_parameters_are_cut_short_is_read_from_its_text() -> None:
    assert encoded(Delivery(1, 4, b"447700900123", b"T", 0, b"id:123 stat:DELIVRD", b"\x00\x1e\x00"), GOOD) == (
        2,
        0,
    )


@given(
    st.sampled_from([0, 4, 0x20, 0x40, 0x44, 0xFF]),
    st.sampled_from([0, 1, 3, 4, 8, 255]),
    st.binary(max_size=20),
    st.one_of(
        st.binary(max_size=20),
        st.binary(max_size=12).map(lambda rest: b"\x00\x1e\x00" + rest),
        st.binary(max_size=12).map(lambda rest: b"\x04\x24\x00" + rest),
    ),
)
def test_any_octets_leave_the_others_alone(esm_class: int, coding: int, text: bytes, optional: bytes) -> None:
    receipts, inbound = encoded(Delivery(1, esm_class, b"4477", b"T", coding, text, optional), GOOD)
    assert 1 <= receipts <= 2
    assert receipts + inbound <= 2
