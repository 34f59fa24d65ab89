"""Every form of receipt that the simulator knows, over real TCP, as the sender writes it to Kafka."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from broadcast.routing import Account
from broadcast.sending.arrivals.encoding import DeliveryEncoder
from broadcast.smpp.codec.command_status import RTHROTTLED, RX_T_APPN
from broadcast.smpp.codec.message_ids import MessageIdRule, normalise_response_ids
from broadcast.smpp.codec.receipt_text import Unclassified
from broadcast.smpp.codec.receipts import RECEIPT_STATES, MessageState
from schemas.receipt import Receipt, ReceiptState
from tests.support.raw_smpp import StartProfile
from tests.support.smpp import RecordingClient
from tests.support.waiting import eventually

COUNT = 5
Connect = Callable[[str], Awaitable[RecordingClient]]


@pytest.fixture
async def connected(play: StartProfile) -> AsyncIterator[Connect]:
    """Starts a simulator with one rule, and a client that is bound and has submitted `COUNT` messages."""
    clients: list[RecordingClient] = []

    async def begin(rule: str) -> RecordingClient:
        client = RecordingClient((await play(f"[[rules]]\n{rule}")).smsc)
        clients.append(client)
        client.offer(COUNT)
        await client.connect()
        return client

    yield begin
    for client in clients:
        await client.close()


def written(client: RecordingClient, **changes: Any) -> tuple[list[Receipt], int]:
    """What goes to Kafka for all that came: receipts, and how many messages of phones."""
    account = Account(name="acc", host="h", port=1, system_id="s").model_copy(update=changes)
    receipts: list[tuple[bytes, bytes]] = []
    inbound: list[tuple[bytes, bytes]] = []
    DeliveryEncoder("r", b"k" * 16).encode(account, client.deliveries, 1, receipts=receipts, inbound=inbound)
    return [msgspec.json.decode(value, type=Receipt) for _, value in receipts], len(inbound)


def ids(client: RecordingClient, rule: MessageIdRule = MessageIdRule.AS_IS) -> list[str]:
    """The ids of the accepted submits, in the form in which receipts are looked up."""
    return sorted(one.decode() for one in normalise_response_ids(client.accepted.values(), rule))


@pytest.mark.parametrize("coding", ["default", "latin1", "ucs2"])
@pytest.mark.parametrize("text", ["standard", "seconds", "no_dates", "short", "csv"])
@pytest.mark.parametrize("pdu", ["deliver_sm", "data_sm"])
async def test_vendor_specific_text_is_read_in_every_coding_and_pdu(
    connected: Connect, coding: str, text: str, pdu: str
) -> None:
    client = await connected(f'receipt = {{ text = "{text}", coding = "{coding}", pdu = "{pdu}", tlvs = "none" }}')
    await eventually(lambda: len(client.deliveries) == len(client.accepted) == COUNT)
    receipts, inbound = written(client)
    assert (sorted(one.message_id for one in receipts), inbound) == (ids(client), 0)
    assert {(one.state, one.raw, one.by_text) for one in receipts} == {(ReceiptState.DELIVERED, None, False)}
    assert {one.error for one in receipts} == ({""} if text == "short" else {"000"})


@pytest.mark.parametrize("tlvs", ["standard", "unknown"])
async def test_a_receipt_by_optional_parameters_only(connected: Connect, tlvs: str) -> None:
    client = await connected(f'receipt = {{ text = "none", tlvs = "{tlvs}" }}')
    await eventually(lambda: len(client.deliveries) == len(client.accepted) == COUNT)
    assert sorted(one.message_id for one in written(client)[0]) == ids(client)


@pytest.mark.parametrize("tlvs", ["malformed", "state_only"])
async def test_malformed_or_missing_parameters_leave_the_text(connected: Connect, tlvs: str) -> None:
    client = await connected(f'receipt = {{ tlvs = "{tlvs}" }}')
    await eventually(lambda: len(client.deliveries) == len(client.accepted) == COUNT)
    receipts, _ = written(client)
    assert sorted(one.message_id for one in receipts) == ids(client)
    assert {one.state for one in receipts} == {ReceiptState.DELIVERED}


@pytest.mark.parametrize("state", list(MessageState))
async def test_all_message_states_of_5_0_are_those_of_the_receipt(connected: Connect, state: MessageState) -> None:
    client = await connected(f'receipt = {{ state = "{state.name}" }}')
    await eventually(lambda: len(client.deliveries) == len(client.accepted) == COUNT)
    assert {one.state for one in written(client)[0]} == {RECEIPT_STATES[state]}


async def test_receipts_without_esm_class_by_the_setting_of_the_account(connected: Connect) -> None:
    client = await connected('receipt = { esm_class = 0, tlvs = "none" }')
    await eventually(lambda: len(client.deliveries) == COUNT)
    receipts, inbound = written(client)
    assert (len(receipts), inbound, {one.by_text for one in receipts}) == (COUNT, 0, {True})
    assert written(client, receipts_without_esm_class=Unclassified.NEVER) == ([], COUNT)


async def test_intermediate_notifications_are_not_final(connected: Connect) -> None:
    client = await connected('receipt = { intermediate = ["SCHEDULED", "ENROUTE", "UNDELIVERABLE"] }')
    await eventually(lambda: len(client.deliveries) == 4 * COUNT)
    states = [one.state for one in written(client)[0]]
    assert (states.count(ReceiptState.ENROUTE), states.count(ReceiptState.DELIVERED)) == (3 * COUNT, COUNT)


@pytest.mark.parametrize(
    ("answered", "form", "rule"),
    [
        ("hex", "decimal", MessageIdRule.HEX_TO_DECIMAL),
        ("decimal", "hex", MessageIdRule.DECIMAL_TO_HEX),
        ("hex", "upper", MessageIdRule.CASE_INSENSITIVE),
        ("decimal", "padded", MessageIdRule.STRIP_ZEROS),
    ],
)
async def test_ids_of_receipts_in_hex_decimal_upper_case_and_with_zeros(
    play: StartProfile, answered: str, form: str, rule: MessageIdRule
) -> None:
    started = await play(f'behaviour.message_id_format = "{answered}"\n[[rules]]\nreceipt.id = "{form}"')
    client = RecordingClient(started.smsc)
    try:
        client.offer(COUNT)
        await client.connect()
        await eventually(lambda: len(client.deliveries) == len(client.accepted) == COUNT)
        receipts, _ = written(client, message_id_rule=rule)
        assert sorted(one.message_id for one in receipts) == ids(client, rule)
    finally:
        await client.close()


async def test_what_nobody_can_read_is_kept_and_answered(connected: Connect) -> None:
    client = await connected('receipt = { text = "garbage", tlvs = "none" }')
    await eventually(lambda: len(client.deliveries) == COUNT)
    receipts, inbound = written(client)
    assert inbound == 0
    assert [one.raw and one.raw.text for one in receipts] == [b"\x00\xff\x07 done"] * COUNT
    await eventually(lambda: client.smsc.simulator.state.metrics.receipts_answered == COUNT)


async def test_on_overload_the_smsc_is_told_to_send_again_and_does(connected: Connect) -> None:
    client = await connected("receipt.delay_seconds = 0.2")
    client.answer_status = RX_T_APPN
    client.change_behaviour(receipt_retry_ms=50.0)
    await eventually(lambda: len(client.deliveries) == COUNT)
    client.answer_status = 0
    await eventually(lambda: client.smsc.simulator.state.metrics.receipts_answered == COUNT)
    assert len({one.message_id for one in written(client)[0]}) == COUNT


async def test_a_generic_nack_answers_its_submit_at_once(connected: Connect) -> None:
    client = await connected('first = 1\nanswer = { status = "throttled", nack = true }')
    await eventually(lambda: len(client.outcomes) == COUNT)
    assert (client.refused, client.unknown) == ([(token, RTHROTTLED) for token in range(COUNT)], [])
    client.offer(COUNT)
    await eventually(lambda: len(client.accepted) == COUNT)
    assert set(client.outcomes.values()) == {2}, "each was refused once and accepted once"
