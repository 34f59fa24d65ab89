"""The sender against a real broker and a simulated SMSC over TCP: jobs in, submits out, every outcome back."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import asyncpg
import pytest

from broadcast.alarms import list_alarms
from broadcast.kafka.position import fresh_position
from broadcast.sending.progress import LEAD_LOWEST
from broadcast.settings import Settings
from schemas.deadletter import DeadLetter
from schemas.job import Job
from schemas.lane import LANES, Lane
from schemas.receipt import Receipt, ReceiptState
from schemas.status import Outcome, Status
from tests.support.sender_setup import ROUTE, RouteUnderTest, encode, number_of, open_route
from tests.support.waiting import eventually, found_first


@pytest.fixture
async def route(kafka_settings: Settings, tmp_path: Path) -> AsyncIterator[RouteUnderTest]:
    async with open_route(kafka_settings, tmp_path) as built:
        yield built


async def test_two_thousand_jobs_reach_the_smsc_once_and_leave_a_clean_position(route: RouteUnderTest) -> None:
    alert = await route.publish()
    recipients = range(1, 2_001)
    await route.put_jobs(alert, recipients)
    sender = await route.start_sender()
    found = await route.wait_for(recipients, alert)
    assert await route.check(found, doubled_at_most=0) == 0
    for statuses in found.values():
        [status] = statuses
        assert (status.outcome, status.attempt, status.segment, status.segments) == (Outcome.ACCEPTED, 1, 1, 1)
        assert status.account == "acc"
        assert status.message_id
        assert 0 < status.submitted_at <= status.at
        assert not status.possible_duplicate
    owners = {position.owner for position in (await route.positions()).values()}
    assert owners == {f"{route.group}.a"}
    assert await sender.stop() == 0

    positions = await route.positions()
    assert len(positions) == len(LANES) * (1 + 2) * route.partitions
    for position in positions.values():
        assert position.owner == ""
        assert position.pending == ()
        assert position.horizon == position.offset
    receipts = await route.records(route.names.receipts, Receipt)
    assert Counter(receipt.state for receipt in receipts) == {ReceiptState.DELIVERED: 2_000}
    by_id = {(status.account, status.message_id): status for [status] in found.values()}
    for receipt in receipts:
        assert receipt.number_hash == by_id[receipt.account, receipt.message_id].number_hash != 0


async def test_a_sender_with_nothing_to_say_beats_once_a_second_and_leaves_little_to_be_marked(
    route: RouteUnderTest,
) -> None:
    alert = await route.publish()
    recipients = range(1, 1_001)
    await route.put_jobs(alert, recipients)
    sender = await route.start_sender()
    await route.wait_for(recipients, alert)

    async def beats() -> float:
        return (await sender.metrics())["tocsin_beat_duration_seconds_count"]

    async def two_more(before: float) -> bool:
        return await beats() >= before + 2

    async with asyncio.timeout(20):
        while (seconds := await eventually(partial(two_more, await beats()))) < 0.9:
            pass
    assert seconds < 4
    for position in (await route.positions()).values():
        assert position.horizon == position.end + LEAD_LOWEST


async def test_a_clean_restart_in_mid_broadcast_doubles_and_marks_nothing(route: RouteUnderTest) -> None:
    await route.simulator.behave(delay_ms=30)
    alert = await route.publish()
    recipients = range(1, 6_001)
    await route.put_jobs(alert, recipients)
    for stop_at in (500, 2_000, 3_500):
        sender = await route.start_sender()
        await route.until_submitted(stop_at)
        assert await sender.stop() == 0
    await route.start_sender()
    found = await route.wait_for(recipients, alert)
    assert await route.check(found, doubled_at_most=0) == 0
    assert not any(status.possible_duplicate for statuses in found.values() for status in statuses)


async def test_what_hangs_at_a_stop_is_unknown_and_held_or_sent_again_by_the_lane(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    async with open_route(kafka_settings, tmp_path, account="resend_unanswered = { routine = 0 }") as route:
        await hang_at_a_stop(route)


async def hang_at_a_stop(route: RouteUnderTest) -> None:
    await route.simulator.behave(hang_share=1.0, receipts=False)
    held = await route.publish(lane=Lane.ROUTINE)
    resent = await route.publish(lane=Lane.IMMEDIATE)
    await route.put_jobs(held, range(1, 11), lane=Lane.ROUTINE)
    await route.put_jobs(resent, range(11, 21), lane=Lane.IMMEDIATE)
    sender = await route.start_sender()
    await route.until_submitted(20)
    assert await sender.stop() == 0
    await route.simulator.behave(hang_share=0.0)
    again = await route.start_sender()
    found = await route.wait_for(range(1, 11), held)
    assert {(s.outcome, s.possible_duplicate) for statuses in found.values() for s in statuses} == {
        (Outcome.UNKNOWN, False)
    }

    async def resent_statuses() -> list[Status]:
        statuses = [status for status in await route.statuses() if status.alert_id == resent]
        return statuses if sum(status.outcome is Outcome.ACCEPTED for status in statuses) == 10 else []

    statuses = await found_first(resent_statuses)
    assert Counter((s.attempt, s.outcome, s.possible_duplicate) for s in statuses) == {
        (1, Outcome.UNKNOWN, False): 10,
        (2, Outcome.ACCEPTED, True): 10,
    }
    metrics = await again.metrics()
    assert metrics['tocsin_possible_duplicates_total{lane="immediate"}'] == 10
    assert metrics['tocsin_jobs_in_flight{lane="immediate"}'] == 0


async def test_answers_slower_than_the_response_timeout_but_in_order_are_known_and_nothing_is_sent_twice(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    async with open_route(kafka_settings, tmp_path, account="response_timeout_seconds = 1\nwindow = 6") as route:
        await route.simulator.behave(delay_ms=1_600)
        alert = await route.publish(lane=Lane.IMMEDIATE)
        await route.put_jobs(alert, range(1, 21), lane=Lane.IMMEDIATE)
        sender = await route.start_sender()
        found = await route.wait_for(range(1, 21), alert)
        assert [(s.attempt, s.outcome, s.late) for statuses in found.values() for s in statuses] == [
            (1, Outcome.ACCEPTED, False)
        ] * 20
        stats = await route.simulator.stats()
        assert (stats["submits"], stats["duplicates"], stats["highest_unanswered"]) == (20, 0, 6)
        assert "submits_unanswered" not in sender.text()


async def test_a_refused_for_now_submit_comes_back_through_a_delay_topic(route: RouteUnderTest) -> None:
    await route.simulator.behave(error_shares={"syserr": 0.3, "invdstadr": 0.1})
    alert = await route.publish()
    recipients = range(1, 301)
    await route.put_jobs(alert, recipients)
    sender = await route.start_sender()

    async def refused_for_now() -> bool:
        return bool((await route.simulator.stats())["refused_by_status"].get("ESME_RSYSERR", 0) >= 30)

    await eventually(refused_for_now)
    await route.simulator.behave(error_shares={"invdstadr": 0.1})
    found = await route.wait_for(recipients, alert, timeout_seconds=60)
    outcomes = Counter(status.outcome for statuses in found.values() for status in statuses)
    assert outcomes[Outcome.REFUSED_FOR_NOW] >= 30
    assert outcomes[Outcome.REFUSED] >= 5
    for statuses in found.values():
        statuses.sort(key=lambda status: status.attempt)
        assert [status.attempt for status in statuses] == list(range(1, len(statuses) + 1))
        assert all(status.outcome is Outcome.REFUSED_FOR_NOW for status in statuses[:-1])
        for earlier, later in pairwise(statuses):
            assert later.submitted_at - earlier.at >= 1_000, "a delay is a delay"
        assert not any(status.possible_duplicate for status in statuses)
    metrics = await sender.metrics()
    refused = (await route.simulator.stats())["refused_by_status"]
    for name, number in refused.items():
        assert metrics[f'tocsin_smpp_submit_total{{account="acc",command_status="{name}"}}'] == number
    assert metrics['tocsin_smpp_submit_total{account="acc",command_status="ESME_ROK"}'] == outcomes[Outcome.ACCEPTED]
    assert metrics['tocsin_smpp_bind_up{account="acc",bind="0"}'] == 1
    assert time.time() - metrics['tocsin_link_test_last_success_timestamp_seconds{account="acc",bind="0"}'] < 60
    assert metrics['tocsin_smpp_window_used_ratio{account="acc",bind="0"}'] == 0
    assert metrics['tocsin_delivery_duration_seconds_count{account="acc"}'] == outcomes[Outcome.ACCEPTED]


async def test_a_throttled_submit_goes_again_on_its_session_and_uses_up_no_attempt(route: RouteUnderTest) -> None:
    await route.simulator.behave(error_shares={"throttled": 0.3})
    alert = await route.publish()
    recipients = range(1, 301)
    await route.put_jobs(alert, recipients)
    sender = await route.start_sender()
    await route.until_submitted(100)
    await route.simulator.behave(error_shares={})
    found = await route.wait_for(recipients, alert, timeout_seconds=60)
    assert {(status.outcome, status.attempt) for statuses in found.values() for status in statuses} == {
        (Outcome.ACCEPTED, 1)
    }
    assert sum(map(len, found.values())) == 300
    refused = (await route.simulator.stats())["refused_by_status"]["ESME_RTHROTTLED"]
    metrics = await sender.metrics()
    assert refused > 0
    assert metrics['tocsin_smpp_throttled_total{account="acc"}'] == refused
    assert metrics["tocsin_in_doubt"] == 0
    assert await sender.stop() == 0


async def test_what_is_throttled_at_a_stop_is_tried_again_by_the_next_sender(route: RouteUnderTest) -> None:
    await route.simulator.behave(error_shares={"throttled": 1.0})
    alert = await route.publish()
    recipients = range(1, 51)
    await route.put_jobs(alert, recipients)
    sender = await route.start_sender()
    await route.until_submitted(50)
    assert await sender.stop() == 0
    await route.simulator.behave(error_shares={})
    await route.start_sender()
    found = await route.wait_for(recipients, alert, timeout_seconds=60)
    assert await route.check(found, doubled_at_most=10_000) >= 0
    assert not any(status.possible_duplicate for statuses in found.values() for status in statuses)


async def test_a_throttled_submit_is_not_sent_again_after_a_stop_of_its_alert(route: RouteUnderTest) -> None:
    await route.simulator.behave(error_shares={"throttled": 1.0})
    alert = await route.publish()
    recipients = range(1, 21)
    await route.put_jobs(alert, recipients)
    await route.start_sender()
    await route.until_submitted(20)
    await route.cancel(alert)

    async def all_cancelled() -> bool:
        return sum(status.outcome is Outcome.CANCELLED for status in await route.statuses()) == 20

    await eventually(all_cancelled, "everybody is cancelled")
    assert {status.outcome for status in await route.statuses()} <= {Outcome.CANCELLED, Outcome.REFUSED_FOR_NOW}


async def test_a_retry_that_would_come_after_expiry_ends_as_expired(route: RouteUnderTest) -> None:
    await route.simulator.behave(error_shares={"syserr": 1.0})
    alert = await route.publish(seconds=3)
    await route.put_jobs(alert, range(1, 21))
    await route.start_sender()

    async def all_expired() -> list[Status]:
        statuses = await route.statuses()
        return statuses if sum(status.outcome is Outcome.EXPIRED for status in statuses) == 20 else []

    statuses = await found_first(all_expired)
    last = {status.recipient_id: status for status in statuses if status.outcome is Outcome.EXPIRED}
    for status in statuses:
        assert status.attempt <= last[status.recipient_id].attempt


async def test_a_message_of_several_segments_is_one_job_and_its_missing_segments_are_retried(
    route: RouteUnderTest,
) -> None:
    text = "Evacuate. " * 40
    alert = await route.publish(texts=(text, "Kısa."))
    recipients = range(1, 201)
    await route.put_jobs(alert, range(1, 101), variant=0)
    await route.put_jobs(alert, range(101, 201), variant=1)
    await route.put_jobs(alert, range(201, 205), variant=7)
    await route.start_sender()
    found = await route.wait_for(recipients, alert)
    for recipient, statuses in found.items():
        if recipient > 200:
            continue
        count = 3 if recipient <= 100 else 1
        assert sorted(status.segment for status in statuses) == list(range(1, count + 1))
        assert {status.segments for status in statuses} == {count}
        assert {status.outcome for status in statuses} == {Outcome.ACCEPTED}
    failed = (await route.wait_for(range(201, 205), alert))[201]
    assert [(status.outcome, status.segment) for status in failed] == [(Outcome.FAILED, 0)]
    assert "variant 7" in failed[0].reason


async def test_poison_becomes_a_dead_letter_and_the_stream_goes_on(route: RouteUnderTest) -> None:
    alert = await route.publish()
    topic = route.names.jobs(ROUTE, Lane.ROUTINE)
    await route.put_jobs(alert, range(4, 41, 4))
    await route.send([(topic, 0, b"x", b"not json"), (topic, 0, b"x", b"{}"), (topic, 0, b"x", b'{"alert_id":1}')])
    await route.put_jobs(alert, range(44, 81, 4))
    sender = await route.start_sender()
    found = await route.wait_for(range(4, 81, 4), alert)
    assert await route.check(found, doubled_at_most=0) == 0
    assert await sender.stop() == 0
    again = await route.start_sender()
    await route.until_owned("a")
    assert await again.stop() == 0
    letters = await route.records(route.names.deadletters, DeadLetter)
    assert sorted(letter.value or b"" for letter in letters) == sorted([b"not json", b"{}", b'{"alert_id":1}'])
    assert {(letter.topic, letter.partition, letter.stage) for letter in letters} == {(topic, 0, "sender")}


async def test_a_job_without_a_control_record_waits_for_the_log_end_and_then_fails_with_an_alarm(
    route: RouteUnderTest, database_url: str
) -> None:
    sender = await route.start_sender(database_url=database_url)
    missing = "00000000-0000-0000-0000-000000000001"
    await route.put_jobs(missing, range(1, 6))
    found = await route.wait_for(range(1, 6), missing, timeout_seconds=20)
    assert {(s.outcome, s.reason) for statuses in found.values() for s in statuses} == {
        (Outcome.FAILED, "no control record")
    }
    assert "jobs_failed" in sender.text()
    assert (await sender.metrics())['tocsin_sender_alarms_total{kind="jobs_failed"}'] >= 1
    assert (await route.simulator.stats())["submits"] == 0
    assert await sender.stop() == 0
    connection = await asyncpg.connect(database_url)
    try:
        [alarm] = await list_alarms(connection)
    finally:
        await connection.close()
    assert (alarm.kind, alarm.subject) == ("jobs_failed", missing)
    assert "no control record" in alarm.detail


async def test_jobs_that_kafka_deleted_unsent_are_an_alarm_and_what_follows_is_sent(route: RouteUnderTest) -> None:
    alert = await route.publish()
    await route.put_jobs(alert, range(1, 21))
    first = await route.start_sender()
    await route.wait_for(range(1, 21), alert)
    assert await first.stop() == 0
    await route.put_jobs(alert, range(21, 41))
    await route.delete_jobs()
    second = await route.start_sender()
    await route.put_jobs(alert, range(41, 61))
    found = await route.wait_for(range(41, 61), alert)
    assert await route.check(found, doubled_at_most=0) == 0
    assert "jobs_deleted_unsent" in second.text()


async def test_jobs_that_come_where_kafka_has_lost_its_tail_are_sent_after_an_alarm(route: RouteUnderTest) -> None:
    alert = await route.publish()
    await route.put_jobs(alert, range(1, 21))
    first = await route.start_sender()
    await route.wait_for(range(1, 21), alert)
    assert await first.stop() == 0
    lost = {tp: fresh_position(position.offset + 1_000) for tp, position in (await route.positions()).items()}
    await route.set_positions(lost)
    second = await route.start_sender()
    await route.until_owned("a")
    await route.put_jobs(alert, range(21, 41))
    found = await route.wait_for(range(21, 41), alert)
    assert await route.check(found, doubled_at_most=0) == 0
    assert "jobs_lost_their_tail" in second.text()
    assert await second.stop() == 0


@pytest.mark.parametrize("status", ["System", "Draft", "Nonsense"])
async def test_what_is_not_real_goes_nowhere(route: RouteUnderTest, status: str) -> None:
    alert = await route.publish(status=status)
    await route.put_jobs(alert, range(1, 6))
    await route.start_sender()
    found = await route.wait_for(range(1, 6), alert)
    assert {s.outcome for statuses in found.values() for s in statuses} == {Outcome.FAILED}
    assert (await route.simulator.stats())["submits"] == 0


async def test_numbers_that_are_no_address_fail_alone(route: RouteUnderTest) -> None:
    alert = await route.publish()
    await route.put_jobs(alert, range(1, 41))
    topic = route.names.jobs(ROUTE, Lane.ROUTINE)
    await route.send(
        [(topic, 1, b"101", encode(Job(alert, 101, "+" + "1" * 30))), (topic, 1, b"105", encode(Job(alert, 105, "")))]
    )
    await route.put_jobs(alert, range(41, 81))
    await route.start_sender()
    found = await route.wait_for([*range(1, 81), 101, 105], alert)
    outcomes = {recipient: statuses[0].outcome for recipient, statuses in found.items()}
    assert outcomes.pop(101) is outcomes.pop(105) is Outcome.FAILED
    assert set(outcomes.values()) == {Outcome.ACCEPTED}
    numbers = await route.simulator.numbers()
    assert set(numbers) == {number_of(recipient) for recipient in range(1, 81)}
