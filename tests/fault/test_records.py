"""What should not be on a topic, and receipts that come early, twice or for nobody: the streams go on."""

import base64
import json
from collections import Counter
from typing import Any

import pytest

from broadcast.alarms import JOBS_FAILED
from broadcast.clock import monotonic
from schemas.lane import LANES, Lane
from tests.fault import report
from tests.fault.accounting import draw_up, wait_final
from tests.fault.system import COMMON, ROUTE, SystemUnderTest
from tests.fault.work import DELAYS_SECONDS, PARTITIONS
from tests.support.headers import send_with_header
from tests.support.topics import read_topic

AUDIENCE = 1_500
LETTERS_SECONDS = 60.0

POISON = (
    b"not JSON",
    b"\xff\xfe\x00 not UTF-8",
    b"",
    b"null",
    b"[1, 2, 3]",
    b'{"alert_id": 7}',
    b'{"alert_id": "\xed\xa0\x80"}',
    b'{"recipient_id": ' + b"9" * 400 + b"}",
    b"[" * 20_000,
    b'{"x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    b'{"a":1},{"b":2}',
)
"""Neither an alert, nor an event, job, status or receipt; the last is two values where batches are decoded at once."""

BESIDE_ODD_HEADER = b"not JSON, and with a header whose key is not UTF-8"

SYSTEM = COMMON

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_poison_on_every_topic_becomes_dead_letters(system: SystemUnderTest) -> None:
    """One dead letter for each record, before, amid and after good ones."""
    began_at = monotonic()
    await system.begin(AUDIENCE * 2)
    names = system.names
    topics = {names.alerts: 1, names.control: 1, names.statuses: system.settings.status_partitions}
    topics[names.receipts] = system.settings.receipt_partitions
    topics |= {names.expansions(lane): system.settings.expansion_partitions for lane in LANES}
    topics |= {names.jobs(ROUTE, lane): PARTITIONS for lane in LANES}
    topics |= {names.delay(ROUTE, lane, seconds): PARTITIONS for lane in LANES for seconds in DELAYS_SECONDS}
    before = await letters(system)
    alerts = [await system.publish(system.alert(AUDIENCE, Lane.PRIORITY))]
    async with system.producer() as producer:
        for number, value in enumerate(POISON):
            for topic, partitions in topics.items():
                await producer.send(topic, value, key=b"poison", partition=number % partitions)
        await producer.flush()
    for topic in topics:
        await send_with_header(system.settings, topic, 0, [BESIDE_ODD_HEADER], b"\xff\xfe")
    alerts.append(await system.publish(system.alert(AUDIENCE, Lane.IMMEDIATE)))

    await wait_final(system, alerts, budget_seconds=60)
    wanted = Counter({(topic, value): 1 for topic in topics for value in (*POISON, BESIDE_ODD_HEADER)})

    async def complete() -> bool:
        return (await letters(system) - before).total() >= wanted.total()

    await system.until(f"{wanted.total()} dead letters", complete, budget_seconds=LETTERS_SECONDS)
    found = await letters(system) - before
    entry = report.Entry(test="poison", seconds=monotonic() - began_at, note=f"{found.total()} dead letters")
    await report.conclude(system, alerts, entry, marks_at_most=0)
    missing, surplus = wanted - found, found - wanted
    assert not missing, f"{missing.total()} of {wanted.total()} are missing: {sorted(missing)[:5]}"
    assert not surplus, f"{surplus.total()} too many: {sorted(surplus)[:5]}"


ABSURD: tuple[dict[str, Any], ...] = (
    {"variant": 99},
    {"variant": -1},
    {"segments": [200]},
    {"segments": [-1, 0]},
    {"text": "x" * 100_000},
    {"text": "\x00"},
    {"msisdn": ""},
    {"msisdn": "+"},
    {"msisdn": "+49\x00150"},
    {"msisdn": "+٤٩١٥٠٠"},
    {"msisdn": "+" + "9" * 100},
    {"msisdn": "nobody"},
    {"attempt": 0},
    {"attempt": -7},
    {"attempt": 10**9},
    {"attempt": 10**30},
    {"due_at": -1},
    {"recipient_id": 10**30},
    {"alert_id": "no alert"},
    {"alert_id": "6f1c9f3e-3c0b-5a55-9b3d-0c2f6f3f7a10"},
)
"""Jobs of the right shape that no expander writes; each changes one field of a good one."""


async def test_absurd_jobs_stop_nobody(system: SystemUnderTest) -> None:
    """Of a live alert: the sender outlives them, and who is addressed by good jobs is reached."""
    began_at = monotonic()
    await system.begin(400)
    restarts = {name: stage.restarts for name, stage in system.stack.stages.items()}
    first = await system.publish(system.alert(200, Lane.PRIORITY))
    await wait_final(system, [first], budget_seconds=60)
    async with system.database() as connection:
        row = await connection.fetchrow(
            "SELECT id, msisdn FROM recipients JOIN chunks ON id = first_id WHERE alert_id = $1", first
        )
    assert row is not None
    recipient, number = row
    good = {"alert_id": str(first), "recipient_id": recipient, "msisdn": number, "attempt": 2}
    async with system.producer() as producer:
        delay = system.names.delay(ROUTE, Lane.PRIORITY, DELAYS_SECONDS[0])
        for topic in (system.names.jobs(ROUTE, Lane.PRIORITY), delay):
            for change in ABSURD:
                await producer.send(topic, json.dumps(good | change).encode(), partition=recipient % PARTITIONS)
        await producer.flush()
    second = await system.publish(system.alert(200, Lane.PRIORITY))
    await wait_final(system, [second], budget_seconds=60)

    async def done() -> bool:
        return not await system.work.holds("sender") and not await system.work.holds("recorder")

    await system.until("the sender and the recorder are through", done, budget_seconds=30)
    async with system.database() as connection:
        rows = await connection.fetchval(
            "SELECT count(*) FROM alarms WHERE kind = $1 AND subject = $2", JOBS_FAILED, str(first)
        )
    assert rows == 1
    account = await draw_up(system, [second], expected_alarms={JOBS_FAILED})
    report.add(report.Entry(test="absurd jobs", seconds=monotonic() - began_at), account)
    assert (account.final, account.lost, account.duplicates) == (200, [], 0)
    assert {name: stage.restarts for name, stage in system.stack.stages.items()} == restarts


async def test_receipts_early_twice_and_for_unknown_ids(system: SystemUnderTest) -> None:
    """Each recipient is delivered once; what belongs to nobody is kept, and counted nowhere."""
    began_at = monotonic()
    await system.begin(AUDIENCE)
    shares = {"receipt_first_share": 0.3, "receipt_twice_share": 0.3, "receipt_unknown_share": 0.2}
    before = (await system.simulator("/stats"))["receipts_answered"]
    parked_before = await parked(system)
    await system.simulator("/behaviour", dict(shares))
    try:
        alert = await system.publish(system.alert(AUDIENCE, Lane.PRIORITY))
        states = await wait_final(system, [alert], budget_seconds=60)
    finally:
        await system.simulator("/behaviour", dict.fromkeys(shares, 0.0))

    async def answered() -> bool:
        stats = await system.simulator("/stats")
        return bool(stats["receipts_answered"] >= stats["receipts_owed"])

    await system.until("every receipt is answered", answered, budget_seconds=20)
    stats = await system.simulator("/stats")
    surplus = stats["receipts_answered"] - before - AUDIENCE

    async def recorded() -> bool:
        return not await system.work.holds("recorder")

    await system.until("every receipt is recorded", recorded, budget_seconds=20)
    unknown = await parked(system) - parked_before
    entry = report.Entry(
        test="receipts early, twice, unknown",
        seconds=monotonic() - began_at,
        note=f"{surplus} receipts more than messages, {unknown} of unknown ids",
    )
    await report.conclude(system, [alert], entry, marks_at_most=0)
    assert states == {"delivered": AUDIENCE}
    assert surplus > AUDIENCE * 0.4
    assert 0 < unknown < surplus
    assert abs(unknown - AUDIENCE * shares["receipt_unknown_share"]) < AUDIENCE * 0.08


async def letters(system: SystemUnderTest) -> Counter[tuple[str, bytes]]:
    """The dead letters, by topic and value."""
    found: Counter[tuple[str, bytes]] = Counter()
    for record in await read_topic(system.settings, system.names.deadletters):
        letter = json.loads(record.value)
        found[letter["topic"], base64.b64decode(letter["value"])] += 1
    return found


async def parked(system: SystemUnderTest) -> int:
    """Receipts that no attempt has."""
    async with system.database() as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM parked_receipts")
    return count
