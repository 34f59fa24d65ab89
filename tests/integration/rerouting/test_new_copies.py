"""Recorder and expander on real servers: who is reported undelivered goes once by the other route."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest

from broadcast import metrics
from broadcast.clock import utc_now
from broadcast.database.pool import connect
from broadcast.kafka.topics import create_topics
from broadcast.pii import number_hash
from broadcast.rerouting.claims import claim
from broadcast.rerouting.new_copies import reroute_forever
from broadcast.routes_file import load_routes
from broadcast.settings import Settings
from schemas.job import Job
from schemas.receipt import Receipt, ReceiptState
from schemas.status import Outcome, Status
from streams import expander, planner
from tests.support.recorder_under_test import RecorderUnderTest, T, encode
from tests.support.topics import read_topic

from ..control import Control, add_recipients, alert_content, control, id_of

ROUTES = """
[[routes]]
name = "one"
prefixes = ["+49"]
partitions = 2
undelivered_route = "two"
accounts = [{ name = "sim", host = "127.0.0.1", port = 2775, system_id = "a" }]

[[routes]]
name = "two"
prefixes = ["+0"]
partitions = 3
undelivered_route = "one"
accounts = [{ name = "sim-two", host = "127.0.0.1", port = 2776, system_id = "b" }]
"""

PEOPLE = 6
KEY = b"k" * 32


class Rerouting(RecorderUnderTest):
    """A recorder under test beside the duty that sends, and what is on the topics of both routes."""

    first_number = 49150000000

    def hash_of(self, recipient_id: int) -> int:
        """The hash of the number of a recipient."""
        return number_hash(KEY, b"%d" % (self.first_number + recipient_id))

    async def add_people(self) -> None:
        """Recipients 1 to `PEOPLE` in the directory, and an alert for them."""
        await self.query(
            "INSERT INTO recipients (msisdn, language) SELECT '+4915000000' || n, 'de' FROM generate_series(1, $1) n "
            "RETURNING id",
            PEOPLE,
        )
        await self.make_alert(PEOPLE)

    def failures(self, recipients: Sequence[int], account: str = "sim", message: str = "m") -> list[bytes]:
        """A receipt for each that says that the message cannot be delivered."""
        return [
            encode(
                Receipt(account, f"{message}{one}", ReceiptState.UNDELIVERABLE, self.hash_of(one), received_at=T + 9)
            )
            for one in recipients
        ]

    def second(self, recipient_id: int, outcome: Outcome = Outcome.ACCEPTED) -> bytes:
        """The status of the second attempt, by the other route."""
        accepted = outcome is Outcome.ACCEPTED
        return encode(
            Status(
                str(self.alert_id),
                recipient_id,
                2,
                outcome,
                account="sim-two",
                message_id=f"n{recipient_id}" if accepted else "",
                number_hash=self.hash_of(recipient_id),
                submitted_at=T + 10,
                at=T + 10,
            )
        )

    async def report(self, recipients: Sequence[int]) -> None:
        """Have the first attempt of everybody and failures of these recorded."""
        everybody = range(1, PEOPLE + 1)
        await self.send(self.names.statuses, self.statuses(everybody))
        await self.send(self.names.receipts, self.failures(recipients))
        await self.wait_for(submitted=PEOPLE - len(recipients), undelivered=len(recipients))

    async def jobs(self, route: str = "two") -> list[Job]:
        """All jobs that were written for a route, by recipient."""
        found: list[Job] = []
        for lane in ("immediate", "priority", "routine"):
            topic = f"{self.settings.topic_prefix}jobs.{route}.{lane}.v1"
            records = await read_topic(self.settings, topic)
            found += [msgspec.json.decode(record.value or b"", type=Job) for record in records]
        return sorted(found, key=lambda job: (job.recipient_id, job.attempt))

    async def open(self) -> int:
        """How many are noted and not sent."""
        return int(await self.query("SELECT count(*) FROM undelivered WHERE sent_at IS NULL"))

    async def settle(self) -> None:
        """Until the duty has looked at all who are noted."""
        await self.query("UPDATE undelivered SET due_at = now()")

        async def none_open() -> bool:
            return await self.open() == 0

        await self.until(none_open)

    @asynccontextmanager
    async def duty(self) -> AsyncIterator["asyncio.Task[None]"]:
        """The duty at work, killed at the end."""
        task = asyncio.create_task(reroute_forever(self.settings, load_routes(self.settings)))
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def under_test(settings: Settings) -> Rerouting:
    path = settings.data_dir / "routes.toml"
    path.write_text(ROUTES, encoding="utf-8")
    own = settings.model_copy(update={"routes_file": path})
    await create_topics(own, load_routes(own))
    made = Rerouting(own)
    await made.add_people()
    return made


async def test_who_is_reported_undelivered_gets_one_whole_copy_by_the_other_route(under_test: Rerouting) -> None:
    before = metrics.undelivered_rerouted.labels("immediate")._value.get()
    async with under_test.recorder(), under_test.duty():
        await under_test.report([2, 5])
        await under_test.settle()
        assert await under_test.jobs() == [
            Job(str(under_test.alert_id), one, f"+4915000000{one}", attempt=2) for one in (2, 5)
        ]
        # The same again, and the copy is reported too: nothing more, by neither route.
        await under_test.send(under_test.names.receipts, under_test.failures([2, 5]))
        await under_test.send(under_test.names.statuses, [under_test.second(2), under_test.second(5)])
        await under_test.wait_for(submitted=PEOPLE)
        await under_test.send(under_test.names.receipts, under_test.failures([2], "sim-two", "n"))
        await under_test.wait_for(submitted=PEOPLE - 1, undelivered=1)
        await asyncio.sleep(2.5)
        assert len(await under_test.jobs()) == 2
        assert await under_test.jobs("one") == []
        await under_test.sound()
    assert metrics.undelivered_rerouted.labels("immediate")._value.get() == before + 2


async def test_the_copy_that_fails_leaves_the_sum_as_it_was(under_test: Rerouting) -> None:
    async with under_test.recorder(), under_test.duty():
        await under_test.report([3])
        await under_test.settle()
        await under_test.send(under_test.names.statuses, [under_test.second(3, Outcome.REFUSED)])

        async def recorded() -> bool:
            return bool(await under_test.query("SELECT count(*) FROM attempts WHERE attempt = 2"))

        await under_test.until(recorded)
        assert await under_test.counts() == {"submitted": PEOPLE - 1, "undelivered": 1}
        await under_test.sound()


async def test_without_the_policy_nothing_goes(under_test: Rerouting) -> None:
    path = under_test.settings.routes_file
    assert path is not None
    path.write_text(ROUTES.replace('undelivered_route = "two"\n', ""), encoding="utf-8")
    async with under_test.recorder(), under_test.duty():
        await under_test.report([2])
        await asyncio.sleep(1.5)
        assert await under_test.open() == 0
        assert await under_test.jobs() == []


async def test_a_recorder_without_a_routes_file_notes_nobody(under_test: Rerouting) -> None:
    bare = Rerouting(under_test.settings.model_copy(update={"routes_file": None}))
    bare.alert_id = under_test.alert_id
    async with bare.recorder():
        await bare.report([2])
        assert await bare.open() == 0


async def test_killed_between_the_claim_and_the_send_it_goes_again_marked(under_test: Rerouting) -> None:
    async with under_test.recorder():
        await under_test.report([1, 4])
    connection = await connect(under_test.settings)
    look = await claim(connection, ["two"], utc_now(), number_key=KEY)
    connection.terminate()
    assert [(one.recipient_id, one.attempt, one.possible_duplicate) for one in look.claims] == [
        (1, 2, False),
        (4, 2, False),
    ]
    async with under_test.duty():
        await asyncio.sleep(1.5)
        assert await under_test.jobs() == [], "a claim that is not finished is left alone for a while"
        await under_test.settle()
    jobs = await under_test.jobs()
    assert [(job.recipient_id, job.attempt, job.possible_duplicate) for job in jobs] == [(1, 2, True), (4, 2, True)]


async def test_killed_after_the_send_it_does_not_go_again_once_the_copy_has_an_outcome(under_test: Rerouting) -> None:
    async with under_test.recorder(), under_test.duty():
        await under_test.report([1])
        await under_test.settle()
        await under_test.send(under_test.names.statuses, [under_test.second(1)])
        await under_test.wait_for(submitted=PEOPLE)
        await under_test.send(under_test.names.receipts, under_test.failures([1], "sim-two", "n"))
        await under_test.wait_for(submitted=PEOPLE - 1, undelivered=1)
        # As a kill between the commit of Kafka and that of PostgreSQL leaves it.
        await under_test.query("UPDATE undelivered SET sent_at = NULL")
        await under_test.settle()
        assert len(await under_test.jobs()) == 1


async def test_who_was_reached_by_another_attempt_meanwhile_gets_nothing_until_that_fails_too(
    under_test: Rerouting,
) -> None:
    async with under_test.recorder():
        await under_test.report([1, 2])
        await under_test.send(under_test.names.statuses, [under_test.second(1), under_test.second(2)])
        await under_test.wait_for(submitted=PEOPLE)
        async with under_test.duty():
            await under_test.settle()
            assert await under_test.jobs() == []
            await under_test.send(under_test.names.receipts, under_test.failures([2], "sim-two", "n"))
            await under_test.wait_for(submitted=PEOPLE - 1, undelivered=1)
            await under_test.settle()
        assert [(job.recipient_id, job.attempt) for job in await under_test.jobs("one")] == [(2, 3)]
        assert await under_test.jobs() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alerts SET state = 'cancelled'",
        "UPDATE alerts SET state = 'completed', stopped_at = now()",
        "UPDATE alerts SET expires_at = now()",
        "UPDATE recipients SET suppressed = 'opted out'",
        "DELETE FROM recipients",
        "UPDATE recipients SET msisdn = '+49159' || id",
    ],
    ids=["stopped", "stopped when completed", "expired", "suppressed", "erased", "another number"],
)
async def test_nobody_gets_a_copy_whom_nothing_is_to_be_sent(under_test: Rerouting, statement: str) -> None:
    async with under_test.recorder():
        await under_test.report([1])
    await under_test.query(statement)
    async with under_test.duty():
        await under_test.settle()
        assert await under_test.jobs() == []


async def test_of_two_processes_one_sends_and_the_other_goes_on_when_it_ends(under_test: Rerouting) -> None:
    async with under_test.recorder(), under_test.duty() as first, under_test.duty():
        await under_test.report([1, 2, 3])
        await under_test.settle()
        assert len(await under_test.jobs()) == 3
        first.cancel()
        await under_test.send(under_test.names.receipts, under_test.failures([4]))
        await under_test.wait_for(submitted=PEOPLE - 4, undelivered=4)
        await under_test.settle()
        assert [job.recipient_id for job in await under_test.jobs()] == [1, 2, 3, 4]


async def test_the_expander_sends_copies_in_the_language_of_the_person(settings: Settings) -> None:
    async with control(settings) as stage:
        assert stage.settings.routes_file is not None
        stage.settings.routes_file.write_text(ROUTES, encoding="utf-8")
        await create_topics(stage.settings, load_routes(stage.settings))
        await _send_and_fail(stage)


async def _send_and_fail(stage: Control) -> None:
    await add_recipients(stage.connection, "riverside", 3)
    content: dict[str, Any] = alert_content(["riverside"])
    under_test = Rerouting(stage.settings)
    under_test.alert_id = id_of(content)
    under_test.first_number = 491510000000
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content)
        await stage.state(id_of(content), "expanding")
    async with stage.running(expander.run, "expander"), under_test.recorder():
        await stage.state(id_of(content), "sending")
        await under_test.send(under_test.names.statuses, under_test.statuses([1, 2, 3]))
        await under_test.send(under_test.names.receipts, under_test.failures([1, 2, 3]))
        await under_test.wait_for(undelivered=3)
        await under_test.settle()
    first = {job.recipient_id: job for job in await under_test.jobs("one")}
    second = {job.recipient_id: job for job in await under_test.jobs("two")}
    assert len(second) == 3
    assert sorted(job.variant for job in second.values()) == [0, 0, 1]
    for recipient_id, job in second.items():
        job.attempt = 1
        assert job == first[recipient_id]
