"""Receipts from the simulator over real TCP: order, repetition, ids, resending."""

from collections import Counter

import pytest

from broadcast.smpp.account import BindMode
from broadcast.smpp.codec.command_status import RX_T_APPN
from broadcast.smpp.codec.message_ids import MessageIdRule, normalise_receipt_ids, normalise_response_ids
from broadcast.smpp.codec.receipts import parse_receipt
from broadcast.smpp.codec.template import SubmitTemplate
from tests.support.smpp import StartClient
from tests.support.waiting import eventually


@pytest.mark.parametrize("window", [1, 10, 64, 1000])
async def test_every_submit_is_answered_and_every_receipt_names_its_message(start: StartClient, window: int) -> None:
    client = await start()
    count = 200 if window == 1 else 5000
    client.offer(count)
    session = await client.connect(window=window)
    await eventually(lambda: len(client.deliveries) == count and len(client.accepted) == count)
    await session.unbind(2.0)
    assert client.outcomes == Counter(range(count))
    receipts = {delivery.source: parse_receipt(delivery) for delivery in client.deliveries}
    for token, message_id in client.accepted.items():
        receipt = receipts[b"49151%08d" % token]
        assert receipt is not None
        assert receipt.message_id == message_id
    stats = client.smsc.simulator.describe()
    assert max(bind.highest_unanswered for bind in client.smsc.simulator.state.binds) <= window
    assert (stats["unique_destinations"], stats["duplicates"], stats["accepted"]) == (count, 0, count)
    await eventually(lambda: client.smsc.simulator.describe()["receipts_answered"] == count)


async def test_receipts_first_twice_and_for_unknown_ids(start: StartClient) -> None:
    client = await start(receipt_first_share=1.0, receipt_twice_share=1.0, receipt_unknown_share=1.0)
    client.offer(10)
    await client.connect()
    await eventually(lambda: len(client.deliveries) == 30)
    seen = Counter(receipt.message_id for each in client.deliveries if (receipt := parse_receipt(each)))
    assert sorted(seen.values()) == [1] * 10 + [2] * 10
    assert {message_id for message_id, count in seen.items() if count == 2} == set(client.accepted.values())


async def test_a_receipt_can_come_before_the_response(start: StartClient) -> None:
    client = await start(receipt_first_share=1.0, delay_ms=100.0)
    client.offer(10)
    await client.connect()
    await eventually(lambda: len(client.accepted) == 10)
    assert client.events[0] == "deliveries"


async def test_undelivered_share_and_receipts_on_failure_only(start: StartClient) -> None:
    client = await start(undelivered_share=0.3)
    client.offer(300, template=SubmitTemplate(source=b"T", text=b"x", registered_delivery=2))
    await client.connect()
    metrics = client.smsc.simulator.state.metrics
    await eventually(lambda: len(client.accepted) == 300 and metrics.receipts_answered == metrics.receipts_owed)
    states = Counter(receipt.state.name for each in client.deliveries if (receipt := parse_receipt(each)))
    assert list(states) == ["UNDELIVERABLE"]
    assert 50 < states["UNDELIVERABLE"] < 140


async def test_unanswered_receipts_come_again_on_the_next_bind_of_the_account(start: StartClient) -> None:
    client = await start()
    client.answer_status = None
    client.offer(100)
    session = await client.connect()
    await eventually(lambda: len(client.deliveries) == 100)
    first = {delivery.short_message for delivery in client.deliveries}
    session.abort()
    await session.closed.wait()
    client.answer_status = 0
    await client.connect(system_id="somebody else", enquire_link_seconds=0.1)
    await client.until_enquire_link()
    assert len(client.deliveries) == 100
    await client.connect()
    await eventually(lambda: len(client.deliveries) == 200)
    assert {delivery.short_message for delivery in client.deliveries[100:]} == first
    await eventually(lambda: client.smsc.simulator.state.metrics.receipts_answered == 100)
    assert client.smsc.simulator.state.metrics.receipts_resent == 100


async def test_receipts_refused_for_now_come_again(start: StartClient) -> None:
    client = await start(receipt_retry_ms=50.0)
    client.answer_status = RX_T_APPN
    client.offer(5)
    await client.connect()
    await eventually(lambda: len(client.deliveries) == 5)
    client.answer_status = 0
    await eventually(lambda: len(client.deliveries) == 10)
    await eventually(lambda: client.smsc.simulator.state.metrics.receipts_answered == 5)


async def test_an_smsc_that_allows_one_unanswered_receipt(start: StartClient) -> None:
    client = await start(receipt_window=1)
    client.offer(50)
    await client.connect()
    await eventually(lambda: len(client.deliveries) == 50)


async def test_receipts_come_to_a_receiver_bind(start: StartClient) -> None:
    client = await start()
    await client.connect(mode=BindMode.TRANSMITTER, enquire_link_seconds=0.1)
    client.offer(10)
    await eventually(lambda: len(client.accepted) == 10)
    await client.until_enquire_link()
    assert client.deliveries == []
    await client.connect(mode=BindMode.RECEIVER)
    await eventually(lambda: len(client.deliveries) == 10)


async def test_hex_in_the_response_and_decimal_in_the_receipt(start: StartClient) -> None:
    client = await start(message_id_format="hex", receipt_id_format="decimal", receipt_tlvs=False)
    client.offer(40)
    await client.connect()
    await eventually(lambda: len(client.deliveries) == 40)
    rule = MessageIdRule.HEX_TO_DECIMAL
    receipts = [receipt.message_id for each in client.deliveries if (receipt := parse_receipt(each))]
    assert set(receipts) != set(client.accepted.values())
    assert set(normalise_receipt_ids(receipts, rule)) == set(normalise_response_ids(client.accepted.values(), rule))


async def test_ids_as_uuid_and_ids_that_begin_again(start: StartClient) -> None:
    client = await start(message_id_format="uuid")
    client.offer(10)
    await client.connect()
    await eventually(lambda: len(client.deliveries) == 10)
    assert {len(message_id) for message_id in client.accepted.values()} == {36}
    client.change_behaviour(message_id_format="decimal", message_id_modulus=5)
    client.offer(10, first=10)
    await eventually(lambda: len(client.accepted) == 20)
    assert len({client.accepted[token] for token in range(10, 20)}) == 5
