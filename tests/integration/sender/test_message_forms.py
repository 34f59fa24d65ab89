"""Forms of messages and of binds from the routes file, from the job to the receipt."""

from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec.json import encode

from broadcast.settings import Settings
from schemas.control import Control, Variant
from schemas.deadletter import DeadLetter
from schemas.job import Job
from schemas.lane import Lane
from schemas.receipt import Receipt, ReceiptState
from schemas.status import DeliveryState, Fact, Outcome, state_of_attempt, state_of_recipient
from tests.support.facts import fact_of
from tests.support.sender_setup import ROUTE, open_route
from tests.support.waiting import found_first

LONG = "Flood warning for the lower town. Leave your house and go to higher ground. " * 5


@pytest.mark.parametrize(
    ("account", "submits", "segments"),
    [
        ('long_messages = "payload"', 1, [0]),
        ('long_messages = "sar"\nflash = true', 3, [1, 2, 3]),
        ('long_messages = "udh8"\nbind_mode = "transmitter_receiver"\ntransmitters = 2', 3, [1, 2, 3]),
    ],
)
async def test_a_long_text_in_each_form_is_retried_until_it_is_delivered(
    kafka_settings: Settings, tmp_path: Path, account: str, submits: int, segments: list[int]
) -> None:
    async with open_route(kafka_settings, tmp_path, account=account) as route:
        await route.simulator.behave(error_shares={"0x08": 0.2})
        alert = await route.publish(texts=(LONG,))
        recipients = range(1, 301)
        await route.put_jobs(alert, recipients)
        sender = await route.start_sender()

        async def all_delivered() -> bool:
            accepted = [status for status in await route.statuses() if status.outcome is Outcome.ACCEPTED]
            receipts = await route.records(route.names.receipts, Receipt)
            return len({(each.recipient_id, each.segment) for each in accepted}) == 300 * submits == len(receipts)

        await found_first(all_delivered, "every segment is accepted and has its receipt", within_seconds=60)
        assert await sender.stop() == 0
        receipts = {
            (each.account, each.message_id): each for each in await route.records(route.names.receipts, Receipt)
        }
        assert Counter(each.state for each in receipts.values()) == {ReceiptState.DELIVERED: 300 * submits}
        found: dict[int, list[Fact]] = {}
        for status in await route.statuses():
            receipt = receipts.get((status.account, status.message_id)) if status.message_id else None
            state = state_of_attempt(status.outcome, receipt.state if receipt else None)
            found.setdefault(status.recipient_id, []).append(fact_of(status, state))
        assert {status.segments for status in await route.statuses()} == {3}
        assert Counter(status.segment for status in await route.statuses()).keys() == set(segments)
        assert Counter(map(state_of_recipient, found.values())) == {DeliveryState.DELIVERED: 300}
        assert (await route.simulator.stats())["duplicates"] == 0


async def test_an_alert_that_expires_after_the_calendar_stops_no_sender_with_absolute_validity(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    """Its control record is passed over, also by a sender that reads it at its start, and its job fails."""
    beyond = Control(str(uuid4()), Lane.ROUTINE, "Test", 10**15, (Variant("en", "Water is rising."),))
    async with open_route(kafka_settings, tmp_path, account='validity = "absolute"') as route:
        await route.send([(route.names.control, 0, beyond.alert_id.encode(), encode(beyond))])
        good = await route.publish()
        sender = await route.start_sender()
        await route.put_jobs(good, [1])
        await route.wait_for([1], good)
        topic = route.names.jobs(ROUTE, Lane.ROUTINE)
        job = Job(beyond.alert_id, 1, "+447700000001")
        await route.send([(route.names.control, 0, beyond.alert_id.encode(), encode(beyond))])
        await route.send([(topic, 0, b"1", encode(job))])
        await route.put_jobs(good, range(2, 52))
        failed = await route.wait_for([1], beyond.alert_id)
        accepted = await route.wait_for(range(2, 52), good)
        assert {status.outcome for status in failed[1]} == {Outcome.FAILED}
        assert {status.outcome for found in accepted.values() for status in found} == {Outcome.ACCEPTED}
        [letter] = await found_first(lambda: route.records(route.names.deadletters, DeadLetter), "the dead letter")
        assert "expires_at" in letter.error
        assert await sender.stop() == 0
