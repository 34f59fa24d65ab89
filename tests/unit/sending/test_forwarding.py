"""Whatever an SMSC delivers, it ends no sender, what came with it goes on, and what nobody can read is kept."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.clock import monotonic
from broadcast.pii import blank_numbers, number_hash
from broadcast.routing import Account
from broadcast.sending.arrivals.encoding import DeliveryEncoder
from broadcast.sending.arrivals.phone_messages import read_inbound
from broadcast.sending.arrivals.raw_deliveries import LONGEST_PART
from broadcast.sending.arrivals.turns import (
    COSTLY_SECONDS,
    RUN_DELIVERIES,
    RUN_OCTETS,
    TURN_SECONDS,
    ArrivalCost,
    Turn,
    split_deliveries,
)
from broadcast.smpp.codec.command_status import RINVCMDLEN
from broadcast.smpp.codec.message import UDHI, Delivery, Fault, octets_of
from broadcast.smpp.codec.message_ids import MessageIdRule
from broadcast.smpp.codec.receipt_text import Unclassified
from schemas.receipt import Receipt

ACCOUNT = Account(name="acc", host="h", port=1, system_id="s")
GOOD = Delivery(2, 4, b"447700900123", b"T", 0, b"id:7 stat:DELIVRD", b"")


NUMBER, TEXT = b"447700900123", b"delivery report 7F3A20011 for 07700900123: ok"
decode = msgspec.json.Decoder(Receipt).decode


def records(*deliveries: Delivery, account: Account = ACCOUNT) -> tuple[list[Receipt], int]:
    """The receipts that go to Kafka, and how many messages of phones."""
    receipts: list[tuple[bytes, bytes]] = []
    inbound: list[tuple[bytes, bytes]] = []
    DeliveryEncoder("r", b"k").encode(account, deliveries, 1, receipts=receipts, inbound=inbound)
    assert {key for key, _ in receipts} <= {account.name.encode()}
    return [decode(value) for _, value in receipts], len(inbound)


def encoded(*deliveries: Delivery) -> tuple[int, int, int]:
    """How many receipts, messages of phones, and unreadable deliveries go to Kafka."""
    receipts, inbound = records(*deliveries)
    unreadable = sum(receipt.raw is not None for receipt in receipts)
    return len(receipts) - unreadable, inbound, unreadable


def test_a_message_with_broken_parameters_is_kept_and_harms_no_other() -> None:
    broken = Delivery(1, 0, NUMBER, b"T", 0, b"", b"\x04\x24\x00\x20abc")
    stray = Delivery(1, 0, NUMBER, b"T", 0, b"", b"\0")
    assert encoded(broken, GOOD, stray) == (1, 0, 2)


def test_a_receipt_whose_parameters_are_cut_short_is_read_from_its_text() -> None:
    assert encoded(Delivery(1, 4, NUMBER, b"T", 0, b"id:123 stat:DELIVRD", b"\x00\x1e\x00"), GOOD) == (2, 0, 0)


@pytest.mark.parametrize(
    ("delivery", "reason"),
    [
        (Delivery(1, 4, NUMBER, b"T", 0, b"", b""), "names no message"),
        (Delivery(1, 0x20, NUMBER, b"T", 0, TEXT, b""), "names no message"),
        (Delivery(1, 4, NUMBER, b"T", 8, TEXT.decode().encode("utf-16-be"), b""), "names no message"),
        (Delivery(1, 4, NUMBER, b"T", 0, b"id:%b stat:DELIVRD" % (b"1" * 256), b""), "255 octets"),
        (Delivery(1, 4, NUMBER, b"T", 0, b"", b"\x00\x1e\x01\x01" + b"1" * 256 + b"\0"), "255 octets"),
        (Delivery(1, 0x44, NUMBER, b"T", 0, b"\5\0\3\7\2\1id:7 sub:001", b""), "parts of receipts are not joined"),
        (Delivery(1, 0x08, NUMBER, b"T", 0, b"read", b""), "esm_class 0x08 is neither"),
    ],
)
def test_what_is_neither_a_receipt_nor_a_message_is_kept_raw(delivery: Delivery, reason: str) -> None:
    (receipt,), inbound = records(delivery)
    assert inbound == 0
    assert receipt.raw is not None
    assert reason in receipt.raw.reason
    assert (receipt.account, receipt.message_id, receipt.state) == ("acc", "", "unknown")
    assert receipt.number_hash == number_hash(b"k", NUMBER)
    assert (receipt.raw.esm_class, receipt.raw.data_coding) == (delivery.esm_class, delivery.data_coding)
    assert receipt.raw.octets == len(delivery.short_message) + len(delivery.optional)


@pytest.mark.parametrize("coding", ["ascii", "utf-16-be", "utf-16-le"])
def test_the_number_is_blanked_in_what_is_kept_and_the_message_id_is_not(coding: str) -> None:
    text = TEXT.decode().encode(coding)
    (receipt,), _ = records(Delivery(1, 4, NUMBER, b"T", 8, text, b"\x02\x02\x00\x0d+" + NUMBER))
    assert receipt.raw is not None
    kept = receipt.raw.text.decode(coding)
    assert kept == "delivery report 7F3A20011 for ###########: ok"
    assert receipt.raw.parameters == b"\x02\x02\x00\x0d+" + b"#" * 12


def test_of_a_body_that_cannot_be_told_apart_every_long_number_is_blanked() -> None:
    body = b"\0\1\1" + NUMBER + b"\0" + b"7" * 8 + b" 12345"
    fault = Fault("mandatory fields are cut short or too long", RINVCMDLEN, body)
    (receipt,), _ = records(Delivery(1, 0, b"", b"", 0, b"", b"", fault))
    assert receipt.raw is not None
    assert receipt.raw.body == b"\0\1\1" + b"#" * 12 + b"\0" + b"#" * 8 + b" 12345"


def test_what_is_kept_is_bounded() -> None:
    (receipt,), _ = records(Delivery(1, 4, NUMBER, b"T", 0, b"", b"\x04\x24\xff\x00" + b"x" * 65_280))
    assert receipt.raw is not None
    assert (len(receipt.raw.parameters), receipt.raw.octets) == (1_024, 65_284)


def test_the_account_says_whether_a_text_without_the_class_is_a_receipt() -> None:
    bare = Delivery(1, 0, NUMBER, b"T", 0, b"id:7 stat:DELIVRD", b"")
    assert records(bare) == ([], 1)
    (receipt,), inbound = records(
        bare, account=ACCOUNT.model_copy(update={"receipts_without_esm_class": Unclassified.ANY})
    )
    assert (receipt.message_id, receipt.by_text, inbound) == ("7", True, 0)


def test_a_receipt_names_the_rule_of_its_id() -> None:
    account = ACCOUNT.model_copy(
        update={"message_id_rule": MessageIdRule.HEX_TO_DECIMAL, "message_id_width": 10},
    )
    (receipt,), _ = records(
        Delivery(1, 4, NUMBER, b"T", 0, b"id:9308878062554710043 stat:DELIVRD", b""), account=account
    )
    assert (receipt.message_id, receipt.id_rule) == ("2554710043", "hex_to_decimal/10")
    assert records(GOOD)[0][0].id_rule == ""


@given(st.binary(max_size=60), st.lists(st.from_regex(rb"\A\+?[0-9]{7,15}\Z"), max_size=2))
def test_blanking_keeps_the_length_and_leaves_no_number(octets: bytes, numbers: list[bytes]) -> None:
    for number in numbers:
        found = blank_numbers(octets + number + octets, numbers)
        assert len(found) == 2 * len(octets) + len(number)
        assert number[-7:] not in found


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
    receipts, inbound, unreadable = encoded(Delivery(1, esm_class, b"4477", b"T", coding, text, optional), GOOD)
    assert receipts >= 1
    assert receipts + inbound + unreadable == 2


def test_the_seconds_from_submit_to_done_date_are_told_of_the_receipts_that_have_both() -> None:
    text = b"id:7 sub:001 dlvrd:001 submit date:2611270430 done date:%b stat:DELIVRD err:000 text:"
    receipts: list[tuple[bytes, bytes]] = []
    inbound: list[tuple[bytes, bytes]] = []
    deliveries = [
        Delivery(n, 4, NUMBER, b"T", 0, text % done, b"") for n, done in enumerate([b"2611270431", b"2611270530"])
    ]
    delays = DeliveryEncoder("r", b"k").encode(ACCOUNT, [*deliveries, GOOD], 1, receipts=receipts, inbound=inbound)
    assert delays == [60.0, 3_600.0]
    assert len(receipts) == 3


@pytest.mark.parametrize("coding", ["ascii", "utf-16-be"])
@pytest.mark.parametrize("before", range(LONGEST_PART - 40, LONGEST_PART + 1, 2))
def test_a_number_at_the_end_of_what_is_kept_is_blanked(coding: str, before: int) -> None:
    parameters = b"\x02\x02\xff\x00" + b"x" * (before - 4) + NUMBER.decode().encode(coding) + b"x" * 60_000
    (receipt,), _ = records(Delivery(1, 4, NUMBER, b"T", 0, b"", parameters))
    assert receipt.raw is not None
    assert not set(receipt.raw.parameters[before:]) & set(b"0123456789")
    assert receipt.raw.octets == len(parameters)


def test_a_delivery_of_thousands_of_empty_parameters_is_kept_raw() -> None:
    (receipt,), inbound = records(Delivery(1, 0, NUMBER, b"T", 0, b"", b"\x02\x02\0\0" * 16_000))
    assert inbound == 0
    assert receipt.raw is not None
    assert receipt.raw.reason == "more than 256 optional parameters"


@given(st.lists(st.sampled_from([0, 50, 20_000, 65_000]), max_size=450))
def test_what_is_encoded_in_one_turn_is_bounded_by_deliveries_and_octets(lengths: list[int]) -> None:
    deliveries = [Delivery(n, 0, NUMBER, b"T", 0, b"", b"x" * length) for n, length in enumerate(lengths)]
    runs = list(split_deliveries(deliveries))
    assert [each for run in runs for each in run] == deliveries
    assert all(len(run) <= RUN_DELIVERIES for run in runs)
    assert all(len(run) == 1 or octets_of(run) <= RUN_OCTETS for run in runs)


async def test_all_other_tasks_run_when_a_turn_is_over() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    turn = Turn()
    for _ in range(5):
        began = monotonic()
        while monotonic() - began < TURN_SECONDS:
            pass
        await turn.give_way()
    await turn.give_way()
    other.cancel()
    assert turns == 5


@pytest.mark.parametrize(
    ("coding", "text"),
    [(0, b"Thanks"), (3, b"Thanks"), (8, "Thanks".encode("utf-16-be"))],
)
@pytest.mark.parametrize("header", [b"", b"\x05\x00\x03\x2a\x02\x01", b"\x06\x08\x04\x01\x2a\x02\x01"])
def test_the_text_of_a_phone_begins_after_its_user_data_header(coding: int, text: bytes, header: bytes) -> None:
    esm_class = UDHI if header else 0
    delivery = Delivery(1, esm_class, b"447700900100", b"4477", coding, header + text, b"")
    inbound = read_inbound(delivery, "r", "acc", 9)
    assert (inbound.text, inbound.route, inbound.account) == ("Thanks", "r", "acc")


def test_a_turn_is_over_in_the_middle_of_a_run_whatever_one_delivery_costs() -> None:
    turn = Turn()
    for _ in range(2):
        taken = []
        for delivery in turn.take([GOOD] * 5):
            began = monotonic()
            while monotonic() - began < TURN_SECONDS:
                pass
            taken.append(delivery)
        assert taken == [GOOD], "one at least, and no more when the time is over"
        assert turn.taken == 1


def test_what_costs_little_is_taken_whole() -> None:
    turn = Turn()
    assert list(turn.take(iter([GOOD] * 3))) == [GOOD] * 3
    assert turn.taken == 3


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 1_000)), max_size=30))
def test_an_account_is_named_once_a_minute_and_only_if_each_delivery_costs_much(
    works: list[tuple[float, int]],
) -> None:
    cost, told = ArrivalCost(), []
    for second, (seconds, count) in enumerate(works):
        each = cost.note(seconds, count, 100.0 + second)
        if each is not None:
            told.append(each)
    assert len(told) <= 1
    assert all(each >= COSTLY_SECONDS * 0.999 for each in told)
    usual = ArrivalCost()
    assert all(usual.note(count * 0.00002, count, 100.0) is None for _, count in works)
    assert usual.note(0.3, 1, 200.0) == 0.3
    assert usual.note(0.3, 1, 201.0) is None
    assert usual.note(0.3, 1, 260.0) == 0.3
