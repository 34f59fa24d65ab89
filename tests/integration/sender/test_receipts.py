"""Receipts from an SMSC over TCP to Kafka by a sender process: what nobody can read, and one receipt for all parts."""

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from broadcast.audit.codes import CODE_OF_OUTCOME, CODE_OF_RECEIPT
from broadcast.audit.coverage import Part, state_of_parts
from broadcast.settings import Settings
from schemas.receipt import Receipt, ReceiptState
from schemas.status import DeliveryState, Status
from tests.support.sender_setup import number_of, open_route
from tests.support.waiting import found_first

COUNT = 100
LONG = "Flood warning for the lower town. Leave your house and go to higher ground. " * 5


async def test_what_nobody_can_read_is_on_kafka_before_the_smsc_is_answered(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    profile = '[[rules]]\nreceipt = { text = "garbage", tlvs = "none" }'
    async with open_route(kafka_settings, tmp_path, profile=profile) as route:
        alert = await route.publish()
        await route.put_jobs(alert, range(1, COUNT + 1))
        sender = await route.start_sender()

        async def all_answered() -> bool:
            answered = (await route.simulator.stats())["receipts_answered"]
            assert answered <= len(await route.records(route.names.receipts, Receipt))
            return bool(answered == COUNT)

        await found_first(all_answered, "every delivery is answered", within_seconds=60)
        receipts = await route.records(route.names.receipts, Receipt)
        assert len(receipts) == len({one.number_hash for one in receipts}) == COUNT
        assert {(one.message_id, one.raw.text) for one in receipts} == {("", b"\x00\xff\x07 done")}
        written = repr(receipts)
        assert not [number for number in map(number_of, range(1, COUNT + 1)) if number.lstrip("+") in written]
        metrics = await sender.metrics()
        assert metrics['tocsin_smpp_unexpected_total{account="acc",kind="delivery"}'] == COUNT
        assert await sender.stop() == 0


async def test_one_receipt_for_all_parts_makes_the_message_delivered(kafka_settings: Settings, tmp_path: Path) -> None:
    profile = "[[rules]]\nparts = [2, 3]\nreceipt.times = 0"
    account = 'receipt_covers = "message"'
    async with open_route(kafka_settings, tmp_path, account=account, profile=profile) as route:
        alert = await route.publish(texts=(LONG,))
        await route.put_jobs(alert, range(1, COUNT + 1))
        sender = await route.start_sender()

        async def all_there() -> bool:
            receipts = await route.records(route.names.receipts, Receipt)
            return len(await route.statuses()) == 3 * COUNT and len(receipts) == COUNT

        await found_first(all_there, "every part is answered, and one of each message has a receipt", within_seconds=60)
        assert await sender.stop() == 0
        receipts = {one.message_id: one.state for one in await route.records(route.names.receipts, Receipt)}
        messages: dict[int, list[Part]] = defaultdict(list)
        for status in await route.statuses():
            messages[status.recipient_id].append(part_of(status, receipts))
        assert {state_of_parts(parts) for parts in messages.values()} == {DeliveryState.DELIVERED}
        each_for_itself = [[part._replace(covers=False) for part in parts] for parts in messages.values()]
        assert set(map(state_of_parts, each_for_itself)) == {DeliveryState.SUBMITTED}


def part_of(status: Status, receipts: dict[str, ReceiptState]) -> Part:
    """A status as the audit has it, with its own receipt."""
    state = receipts.get(status.message_id)
    return Part(
        status.attempt,
        datetime.fromtimestamp(status.submitted_at / 1000, UTC),
        status.segment,
        status.segments,
        CODE_OF_OUTCOME[status.outcome],
        None if state is None else CODE_OF_RECEIPT[state],
        1,
        status.receipt_covers_message,
    )
