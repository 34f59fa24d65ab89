"""What no SMSC answers in time, refuses for a number or an account, or takes in parts: by real Kafka and TCP."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from broadcast.settings import Settings
from broadcast.smpp.codec.command_status import RINVDSTADR
from schemas.lane import Lane
from schemas.status import DeliveryState, Outcome, Status, state_of_attempt, state_of_recipient
from tests.support.facts import fact_of
from tests.support.sender_setup import RouteUnderTest, number_of, open_route
from tests.support.waiting import eventually

ANSWERED = range(1, 21)
LATE = range(21, 31)
"""Ten of thirty are not answered in time: fewer than would end the session."""
EVERYBODY = range(1, 31)

DELAYS = "delays_seconds = [1, 3]"
TIMEOUT = "response_timeout_seconds = 1\nwindow = 100"


def late(rule: str, *, first: str = "") -> str:
    """A profile in which `LATE` are answered by a rule, and the others after half a second, in turns."""
    numbers = ", ".join(f'"+{number_of(recipient)}"' for recipient in LATE)
    return f"""
[[rules]]
numbers = [{numbers}]
{first}
{rule}

[[rules]]
answer.delay_seconds = {{ uniform = [0.0, 0.4] }}
"""


async def send_in_turns(route: RouteUnderTest, *, lane: Lane = Lane.IMMEDIATE) -> str:
    """The late ones first, the others after them: a submit is overtaken by what was written after it."""
    alert = await route.publish(lane=lane)
    await route.put_jobs(alert, LATE, lane=lane)
    await route.until_submitted(len(LATE))
    await route.put_jobs(alert, ANSWERED, lane=lane)
    return alert


async def statuses_of(route: RouteUnderTest, alert: str) -> dict[int, list[Status]]:
    found: dict[int, list[Status]] = {recipient: [] for recipient in EVERYBODY}
    for status in await route.statuses():
        if status.alert_id == alert:
            found.setdefault(status.recipient_id, []).append(status)
    return {recipient: sorted(each, key=lambda s: (s.attempt, s.late)) for recipient, each in found.items()}


def state(statuses: list[Status]) -> DeliveryState:
    return state_of_recipient(fact_of(s, state_of_attempt(s.outcome, None)) for s in statuses)


async def all_submitted(route: RouteUnderTest, alert: str) -> None:
    async def submitted() -> bool:
        found = await statuses_of(route, alert)
        return {state(statuses) for statuses in found.values()} == {DeliveryState.SUBMITTED}

    await eventually(submitted, "everybody is submitted", within_seconds=40)


async def test_an_answer_before_the_resend_is_due_withdraws_it(kafka_settings: Settings, tmp_path: Path) -> None:
    profile = late("answer.delay_seconds = 2")
    async with open_route(kafka_settings, tmp_path, account=TIMEOUT, route=DELAYS, profile=profile) as route:
        sender = await route.start_sender()
        alert = await send_in_turns(route)
        await all_submitted(route, alert)
        await asyncio.sleep(5)
        assert await route.simulator.numbers() == Counter({number_of(recipient): 1 for recipient in EVERYBODY})
        metrics = await sender.metrics()
        assert metrics['tocsin_resends_total{lane="immediate"}'] == len(LATE)
        assert metrics['tocsin_resends_withdrawn_total{lane="immediate"}'] == len(LATE)
        positions = await route.positions()
        assert not any(position.pending for position in positions.values())
        assert await sender.stop() == 0


async def test_a_refusal_for_good_that_comes_late_is_the_outcome_of_its_submit_and_withdraws_its_resend(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    profile = late('answer = { delay_seconds = 2, status = "RINVDSTADR" }')
    async with open_route(kafka_settings, tmp_path, account=TIMEOUT, route=DELAYS, profile=profile) as route:
        sender = await route.start_sender()
        alert = await send_in_turns(route)

        async def settled() -> bool:
            found = await statuses_of(route, alert)
            return all(len(found[recipient]) == 2 for recipient in LATE)

        await eventually(settled, "what was refused late is settled", within_seconds=40)
        # Longer than until the resend would be sent.
        await asyncio.sleep(5)
        found = await statuses_of(route, alert)
        for recipient in LATE:
            facts = [(each.attempt, each.outcome, each.late, each.possible_duplicate) for each in found[recipient]]
            assert facts == [
                (1, Outcome.UNKNOWN, False, False),
                (1, Outcome.REFUSED, True, False),
            ]
            assert {each.error for each in found[recipient][1:]} == {RINVDSTADR}
            assert state(found[recipient]) is DeliveryState.REJECTED
        assert {state(found[recipient]) for recipient in ANSWERED} == {DeliveryState.SUBMITTED}
        stats = await route.simulator.stats()
        assert (stats["submits"], stats["refused"]) == (len(EVERYBODY), len(LATE))
        assert stats["violations"] == {}
        assert await sender.stop() == 0


async def test_answers_that_never_come_in_time_make_two_copies_and_no_more(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    profile = late("answer.delay_seconds = 12")
    async with open_route(kafka_settings, tmp_path, account=TIMEOUT, route=DELAYS, profile=profile) as route:
        await route.start_sender()
        alert = await send_in_turns(route)
        await asyncio.sleep(5)
        # Answers to others overtake the resends as well.
        await route.put_jobs(alert, range(31, 41), lane=Lane.IMMEDIATE)
        await asyncio.sleep(15)
        numbers = await route.simulator.numbers()
        assert max(numbers.values()) == 2
        assert [recipient for recipient in EVERYBODY if numbers[number_of(recipient)] == 2] == list(LATE)
        found = await statuses_of(route, alert)
        assert {state(found[recipient]) for recipient in LATE} == {DeliveryState.SUBMITTED}
        assert all(any(status.possible_duplicate for status in found[recipient]) for recipient in LATE)


async def test_a_receipt_settles_what_was_not_answered_and_withdraws_its_resend(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    profile = late('answer.never = true\nreceipt = { delay_seconds = 2, text = "seconds" }')
    async with open_route(kafka_settings, tmp_path, account=TIMEOUT, route=DELAYS, profile=profile) as route:
        await route.start_sender()
        alert = await send_in_turns(route)
        await all_submitted(route, alert)
        await asyncio.sleep(5)
        assert max((await route.simulator.numbers()).values()) == 1
        found = await statuses_of(route, alert)
        for recipient in LATE:
            [unknown, accepted] = found[recipient]
            assert (unknown.outcome, accepted.outcome, accepted.late) == (Outcome.UNKNOWN, Outcome.ACCEPTED, True)
            assert (unknown.attempt, unknown.submitted_at) == (accepted.attempt, accepted.submitted_at)
            assert accepted.message_id


async def test_an_smsc_that_answers_no_submit_and_sends_all_receipts_gets_each_message_once(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    profile = '[[rules]]\nanswer.never = true\nreceipt = { delay_seconds = 0.3, text = "seconds" }\n'
    async with open_route(kafka_settings, tmp_path, account=TIMEOUT, route=DELAYS, profile=profile) as route:
        await route.start_sender()
        alert = await route.publish(lane=Lane.IMMEDIATE)
        await route.put_jobs(alert, EVERYBODY, lane=Lane.IMMEDIATE)
        await all_submitted(route, alert)
        await asyncio.sleep(5)
        assert await route.simulator.numbers() == Counter({number_of(recipient): 1 for recipient in EVERYBODY})
        found = await statuses_of(route, alert)
        reasons = [[status.reason for status in found[recipient]] for recipient in EVERYBODY]
        assert reasons == [["no answer", "no answer; a receipt says that the SMSC has it"]] * len(EVERYBODY)


async def test_held_receipts_of_an_older_alert_settle_nothing_of_a_newer_one(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    """Of the newer one `ANSWERED` are not answered and not taken, and `LATE` are refused for now without an id.

    What is sent again is refused because of its number, which is no fault of the account: so it is not stopped.
    """
    numbers = ", ".join(f'"+{number_of(recipient)}"' for recipient in LATE)
    profile = f"""
[[rules]]
first = 1
answer = {{ status = "ROK", never = false, takes = true }}
[[rules]]
first = 2
numbers = [{numbers}]
answer = {{ status = "RSYSERR", never = false }}
[[rules]]
first = 2
answer = {{ never = true, takes = false }}
[[rules]]
answer = {{ status = "RINVDSTADR", never = false }}
[[rules]]
receipt = {{ delay_seconds = 3, text = "seconds" }}
"""
    account = "response_timeout_seconds = 4\nwindow = 100"
    async with open_route(kafka_settings, tmp_path, account=account, route=DELAYS, profile=profile) as route:
        await route.start_sender()
        one = await route.publish(lane=Lane.IMMEDIATE)
        await route.put_jobs(one, EVERYBODY, lane=Lane.IMMEDIATE)
        await route.until_submitted(len(EVERYBODY))
        await asyncio.sleep(0.5)
        await route.simulator.behave(pause_answers=True)
        await all_submitted(route, one)
        assert (await route.simulator.stats())["receipts_sent"] == 0
        await asyncio.sleep(16)
        two = await route.publish(lane=Lane.IMMEDIATE)
        await route.put_jobs(two, ANSWERED, lane=Lane.IMMEDIATE)
        await route.until_submitted(len(EVERYBODY) + len(ANSWERED))
        await route.put_jobs(two, LATE, lane=Lane.IMMEDIATE)
        await asyncio.sleep(4)
        # Each receipt of the older alert comes so long after the newer write as it says that its message took.
        await route.simulator.behave(pause_answers=False)

        async def sent_again() -> bool:
            found = await statuses_of(route, two)
            return all(max((each.attempt for each in found[recipient]), default=0) >= 2 for recipient in EVERYBODY)

        await eventually(sent_again, "everybody is sent the newer alert again", within_seconds=60)
        assert (await route.simulator.stats())["receipts_sent"] == len(EVERYBODY)
        found = await statuses_of(route, two)
        first = {recipient: {each.outcome for each in found[recipient] if each.attempt == 1} for recipient in EVERYBODY}
        assert {outcome for recipient in ANSWERED for outcome in first[recipient]} == {Outcome.UNKNOWN}
        assert {outcome for recipient in LATE for outcome in first[recipient]} == {Outcome.REFUSED_FOR_NOW}
        again = {each.outcome for recipient in EVERYBODY for each in found[recipient] if each.attempt > 1}
        assert Outcome.ACCEPTED not in again


async def test_a_withdrawal_holds_for_the_sender_that_takes_over(kafka_settings: Settings, tmp_path: Path) -> None:
    profile = late("answer.delay_seconds = 2")
    delays = "delays_seconds = [1, 8]"
    async with open_route(kafka_settings, tmp_path, account=TIMEOUT, route=delays, profile=profile) as route:
        sender = await route.start_sender()
        alert = await send_in_turns(route)
        await all_submitted(route, alert)
        await sender.kill()
        await route.start_sender()
        await asyncio.sleep(12)
        assert max((await route.simulator.numbers()).values()) == 1
        assert not any(position.pending for position in (await route.positions()).values())


OTHER = """
[[routes.accounts]]
name = "other"
host = "127.0.0.1"
port = PORT
system_id = "other"
simulated = true
source_addr = "OTHER"
"""
TWO_LOGINS = """
[[accounts]]
name = "acc"
system_id = "tocsin"
[[accounts]]
name = "other"
"""


async def test_what_one_account_refuses_arrives_by_the_other(kafka_settings: Settings, tmp_path: Path) -> None:
    profile = TWO_LOGINS + '[[rules]]\naccounts = ["acc"]\nanswer.status = "RINVSRCADR"\n'
    async with open_route(kafka_settings, tmp_path, account=OTHER, profile=profile) as route:
        alert = await route.publish()
        recipients = range(1, 1_001)
        await route.put_jobs(alert, recipients)
        await route.start_sender()
        found = await route.wait_for(recipients, alert)
        last = {max(statuses, key=lambda status: status.attempt).outcome for statuses in found.values()}
        assert last == {Outcome.ACCEPTED}
        refused = [s for statuses in found.values() for s in statuses if s.outcome is Outcome.REFUSED_FOR_NOW]
        assert refused
        assert {(status.account, status.reason) for status in refused} == {
            ("acc", "ESME_RINVSRCADR: the sender's address is not valid")
        }
        assert max(len(statuses) for statuses in found.values()) == 2


@pytest.mark.timeout(180)
async def test_the_only_account_refuses_all_until_it_is_repaired_and_everybody_is_accepted(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    async with open_route(kafka_settings, tmp_path) as route:
        await route.simulator.behave(error_shares={"invsrcadr": 1.0})
        alert = await route.publish()
        people = range(1, 1_001)
        await route.put_jobs(alert, people)
        sender = await route.start_sender()
        await eventually(lambda: '"kind": "account_stopped"' in sender.text(), "it is stopped", within_seconds=30)
        assert "no recipient is rejected because of it" in sender.text()
        stopped_at = (await route.simulator.stats())["submits"]

        async def probed() -> bool:
            return bool((await route.simulator.stats())["submits"] > stopped_at)

        await eventually(probed, "a probe is refused too", within_seconds=30)
        await asyncio.sleep(1)
        refused = (await route.simulator.stats())["submits"]
        assert refused <= 64 + 10, "only probes are written"
        await route.simulator.behave(error_shares={})
        found = await route.wait_for(people, alert, timeout_seconds=90)
        outcomes = Counter(status.outcome for statuses in found.values() for status in statuses)
        assert outcomes == {Outcome.ACCEPTED: 1_000, Outcome.REFUSED_FOR_NOW: refused}
        assert not any(status.possible_duplicate for statuses in found.values() for status in statuses)


@pytest.mark.timeout(240)
async def test_a_copy_of_a_message_travels_whole_by_one_account_and_one_bind(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    profile = (
        TWO_LOGINS
        + """
[[rules]]
share = 0.2
first = 1
answer = { status = "RSYSERR", delay_seconds = 0.05 }
[[rules]]
answer.delay_seconds = 0.05
[[events]]
do = "close"
accounts = ["acc"]
at_seconds = 2
every_seconds = 2
until_seconds = 12
"""
    )
    often = "resend_unanswered = { immediate = 9 }\n"
    account = "window = 60\n" + often + OTHER + often
    async with open_route(kafka_settings, tmp_path, account=account, profile=profile) as route:
        alert = await route.publish(lane=Lane.IMMEDIATE, texts=("Evacuate. " * 40,))
        recipients = range(1, 1_501)
        await route.put_jobs(alert, recipients, lane=Lane.IMMEDIATE)
        await route.start_sender()

        async def everybody() -> bool:
            by_recipient: dict[int, list[Status]] = {}
            for status in await route.statuses():
                by_recipient.setdefault(status.recipient_id, []).append(status)
            return len(by_recipient) == len(recipients) and {state(found) for found in by_recipient.values()} == {
                DeliveryState.SUBMITTED
            }

        await eventually(everybody, "everybody has all segments", within_seconds=120)
        stats = await route.simulator.stats()
        assert stats["violations_total"] == 0, stats["violations"]
        assert stats["refused_by_status"]["ESME_RSYSERR"] > 100


async def test_numbers_with_full_queues_slow_nobody_else(kafka_settings: Settings, tmp_path: Path) -> None:
    full = range(1, 31)
    numbers = ", ".join(f'"+{number_of(recipient)}"' for recipient in full)
    profile = f'[[rules]]\nnumbers = [{numbers}]\nanswer.status = "RMSGQFUL"\n'
    # A rate that a busy machine carries: only the sender can make it slower.
    async with open_route(kafka_settings, tmp_path, account="rate_per_second = 300", profile=profile) as route:
        await route.start_sender()
        others = range(101, 1_301)
        without = await seconds_for(route, others, ())
        assert await seconds_for(route, others, full) < without * 1.5 + 1


async def seconds_for(route: RouteUnderTest, others: Sequence[int], full: Sequence[int]) -> float:
    """How long an immediate alert to all of them needs until the others are accepted."""
    alert = await route.publish(lane=Lane.IMMEDIATE)
    began_at = time.monotonic()
    await route.put_jobs(alert, [*full, *others], lane=Lane.IMMEDIATE)

    async def accepted() -> bool:
        found = [s for s in await route.statuses() if s.alert_id == alert and s.outcome is Outcome.ACCEPTED]
        return len(found) == len(others)

    await eventually(accepted, "all others are accepted", within_seconds=60)
    return time.monotonic() - began_at
