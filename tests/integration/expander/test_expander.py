"""The expander on a real broker and a real database: groups become one job per recipient, and nobody is left out."""

import asyncio
import re
from bisect import bisect
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from broadcast.alerts import expanding
from broadcast.alerts.store import set_audience
from broadcast.audience import ChunkRows, resolve
from broadcast.audience.importing import Options, import_recipients
from broadcast.clock import epoch_milliseconds
from broadcast.settings import Settings
from schemas.deadletter import DeadLetter
from schemas.expansion import Expansion
from schemas.job import Job
from schemas.status import Outcome, Status
from streams import expander, planner

from ..control import Control, add_recipients, alert_content, control, id_of

NEW = "+4915199999999"


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Control]:
    """A broker, a database, and chunks of ten; no stage is running yet."""
    async with control(settings, chunk_size=10) as made:
        yield made


async def jobs(stage: Control, lane: str = "immediate") -> list[Any]:
    return await stage.read(f"jobs.sim.{lane}.v1")


async def statuses(stage: Control) -> list[Status]:
    return [msgspec.json.decode(record.value, type=Status) for record in await stage.read("statuses.v1")]


async def publish(stage: Control, *contents: dict[str, Any]) -> None:
    """Put alerts on the topic, and have them planned."""
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", *contents)
        for content in contents:
            await stage.state(id_of(content), "expanding")


@pytest.mark.parametrize("people", [4, 10, 25])
async def test_each_recipient_has_one_job_in_their_language_and_partition(stage: Control, people: int) -> None:
    await add_recipients(stage.connection, "riverside", people)
    await stage.connection.execute("INSERT INTO groups (name) VALUES ('again')")
    await stage.connection.execute("INSERT INTO group_members SELECT 2, id FROM recipients WHERE mod(id, 2) = 0")
    content = alert_content(["riverside", "again"])
    await publish(stage, content)
    async with stage.running(expander.run, "expander"):
        row = await stage.state(id_of(content), "sending")
        await stage.until(lambda: _count(stage, people))
    assert (row["audience"], row["suppressed"], row["chunks"]) == (people, 0, -(-people // 10))
    assert row["expanded_at"] is not None
    directory = {
        found["id"]: (found["msisdn"], 1 if found["language"] == "de" else 0)
        for found in await stage.connection.fetch("SELECT id, msisdn, language FROM recipients")
    }
    records = await jobs(stage)
    for record in records:
        job = msgspec.json.decode(record.value, type=Job)
        assert (job.msisdn, job.variant) == directory.pop(job.recipient_id)
        assert job.alert_id == str(id_of(content))
        assert (job.attempt, job.possible_duplicate, job.due_at, job.text) == (1, False, 0, "")
        assert record.key == str(job.recipient_id).encode()
        assert record.partition == job.recipient_id % 3
    assert not directory
    assert await statuses(stage) == []


async def test_those_without_number_or_route_have_a_final_state_and_the_suppressed_none(stage: Control) -> None:
    await add_recipients(stage.connection, "riverside", 3)
    await add_recipients(stage.connection, "abroad", 2, number="+8613")
    await stage.connection.execute("UPDATE recipients SET suppressed = 'opted out' WHERE id = 1")
    await stage.connection.execute("UPDATE recipients SET msisdn = $1 WHERE id = 2", '+49"x')
    content = alert_content(["riverside", "abroad"])
    await publish(stage, content)
    async with stage.running(expander.run, "expander"):
        row = await stage.state(id_of(content), "sending")
        await stage.until(lambda: _count(stage, 1))
    assert (row["audience"], row["suppressed"]) == (5, 1)
    assert [msgspec.json.decode(record.value, type=Job).recipient_id for record in await jobs(stage)] == [3]
    found = {status.recipient_id: status for status in await statuses(stage)}
    assert set(found) == {2, 4, 5}
    assert found[2].reason == expanding.UNREADABLE_NUMBER
    assert found[4].reason == expanding.UNROUTED.format(prefix="+86", status=content["status"])
    assert {(status.outcome, status.segment, status.attempt) for status in found.values()} == {(Outcome.FAILED, 0, 1)}
    assert not re.search("[0-9]{4}", "".join(status.reason for status in found.values())), "a reason holds no number"


async def test_someone_who_left_between_audience_and_chunk_has_a_final_state(stage: Control) -> None:
    await add_recipients(stage.connection, "riverside", 12)
    content = alert_content(["riverside"])
    await publish(stage, content)
    await _resolve_only(stage, content)
    await stage.connection.execute("DELETE FROM recipients WHERE id = 12")
    async with stage.running(expander.run, "expander"):
        await stage.until(lambda: _count(stage, 11))
    (status,) = await statuses(stage)
    assert (status.recipient_id, status.reason, status.number_hash) == (12, expanding.NO_NUMBER, 0)


async def _numbers(stage: Control) -> dict[int, str]:
    rows = await stage.connection.fetch("SELECT id, msisdn FROM recipients ORDER BY id")
    return {row["id"]: row["msisdn"] for row in rows}


async def test_an_import_between_two_chunks_moves_no_number(
    stage: Control, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await add_recipients(stage.connection, "riverside", 12, number="+49151")
    await stage.connection.execute("UPDATE recipients SET external_id = 'p' || id")
    before = await _numbers(stage)
    file = tmp_path / "people.csv"
    file.write_text(f"external_id,phone\np1,{NEW}\np12,{before[1]}\n")
    read = expanding.read_people

    async def import_before_the_second(pool: asyncpg.Pool, expansion: Expansion) -> ChunkRows:
        if expansion.chunk == 1:
            await stage.until(lambda: _count(stage, 10))
            key = stage.settings.require_number_key()
            await import_recipients(stage.connection, file, tmp_path / "report.csv", Options(number_key=key))
        return await read(pool, expansion)

    monkeypatch.setattr(expander, "read_people", import_before_the_second)
    content = alert_content(["riverside"])
    await publish(stage, content)
    async with stage.running(expander.run, "expander"):
        await stage.until(lambda: _count(stage, 12))
    after = await _numbers(stage)
    assert (after[1], after[12]) == (NEW, before[1])
    found = [msgspec.json.decode(record.value, type=Job) for record in await jobs(stage)]
    assert sorted(job.msisdn for job in found) == sorted(before.values())
    assert {job.recipient_id: job.msisdn for job in found} == before


@pytest.mark.parametrize("gone", [False, True], ids=["empty", "gone"])
async def test_an_empty_audience_refuses_the_alert(stage: Control, gone: bool) -> None:
    await add_recipients(stage.connection, "riverside", 3)
    await stage.connection.execute("INSERT INTO groups (name) VALUES ('nobody')")
    groups = ["riverside", "nobody"] if gone else ["nobody"]
    content = alert_content(groups)
    await publish(stage, content)
    if gone:
        await stage.connection.execute("DELETE FROM groups WHERE name = 'nobody'")
    async with stage.running(expander.run, "expander"):
        row = await stage.state(id_of(content), "refused")
        assert await stage.connection.fetchval("SELECT kind FROM alarms") == "alert_not_sent"
    assert ("no group nobody is known any more" if gone else "no recipient is in nobody") in row["reason"]
    assert row["audience"] == 0
    assert await jobs(stage) == []


async def test_an_exercise_goes_to_participants_only(stage: Control) -> None:
    await add_recipients(stage.connection, "riverside", 6)
    await stage.connection.execute("UPDATE recipients SET participant = true WHERE id IN (2, 5)")
    content = alert_content(["riverside"], status="Exercise")
    await publish(stage, content)
    async with stage.running(expander.run, "expander"):
        await stage.until(lambda: _count(stage, 2))
    assert sorted(int(record.key) for record in await jobs(stage)) == [2, 5]


async def test_an_exercise_without_marked_participants_says_how_many_members_there_are(stage: Control) -> None:
    await add_recipients(stage.connection, "riverside", 3)
    content = alert_content(["riverside"], status="Exercise")
    await publish(stage, content)
    async with stage.running(expander.run, "expander"):
        row = await stage.state(id_of(content), "refused")
    assert "no marked participant is in riverside, which has 3 members; set participant = yes" in row["reason"]


async def test_a_stopped_alert_is_expanded_all_the_same_and_stays_stopped(stage: Control) -> None:
    await add_recipients(stage.connection, "riverside", 12)
    content = alert_content(["riverside"])
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content, {"event": "cancelled", "alert_id": id_of(content), "actor": "duty"})
        await stage.state(id_of(content), "cancelled")
    async with stage.running(expander.run, "expander"):
        await stage.until(lambda: _count(stage, 12))
        # Without this moment the alert could never be called done.
        await stage.until(lambda: _expanded(stage, content))
    row = await stage.row(id_of(content))
    assert row is not None
    assert (row["state"], row["audience"]) == ("cancelled", 12)


async def test_a_stop_does_not_wait_for_the_audience(stage: Control) -> None:
    await add_recipients(stage.connection, "riverside", 12)
    content = alert_content(["riverside"])
    await publish(stage, content)
    other = await asyncpg.connect(stage.settings.database_url.get_secret_value())
    await other.transaction().start()
    # The expander waits for this one, as it would for a large audience of its own.
    await resolve(other, id_of(content), ["riverside"], chunk_size=10, participants_only=False)
    async with stage.running(expander.run, "expander"):
        try:
            await stage.until(lambda: _resolving(stage))
            # What the planner takes before it applies a stop.
            await stage.connection.execute("SET lock_timeout = '2s'")
            await stage.connection.execute("SELECT FROM alerts WHERE alert_id = $1 FOR UPDATE", id_of(content))
            assert await _resolving(stage)
        finally:
            await other.close()
        await stage.until(lambda: _count(stage, 12))


async def test_poison_becomes_a_dead_letter_on_every_lane(stage: Control) -> None:
    await add_recipients(stage.connection, "riverside", 2)
    unknown = {"kind": "audience", "alert_id": UUID(int=5), "lane": "routine", "groups": ["riverside"]}
    unknown |= {"expires_at": 1, "languages": {}}
    await stage.put("expansions.immediate.v1", b"{")
    await stage.put("expansions.priority.v1", unknown | {"status": "Imaginary"})
    await stage.put("expansions.routine.v1", unknown | {"status": "Actual"})
    await stage.put("expansions.routine.v1", unknown | {"status": "Actual", "kind": "chunk", "chunks": 1})
    await stage.put("expansions.routine.v1", unknown | {"status": "Actual", "kind": "chunk", "chunk": 2**31})
    await stage.put("expansions.routine.v1", unknown | {"status": "Actual", "groups": ["a\x00b"]})
    chunk = unknown | {"status": "Actual", "lane": "immediate", "kind": "chunk", "chunk": 0, "chunks": 1}
    for change in ({"languages": {"en": 10**30}}, {"languages": {"en": 10**9}}, {"default_variant": 10**9}):
        await stage.put("expansions.immediate.v1", chunk | change)
    content = alert_content(["riverside"])
    await publish(stage, content)
    async with stage.running(expander.run, "expander"):
        await stage.until(lambda: _count(stage, 2))
        await stage.until(lambda: _letters(stage, 9))
    letters = [msgspec.json.decode(record.value, type=DeadLetter) for record in await stage.read("deadletters.v1")]
    assert {letter.stage for letter in letters} == {"expander"}
    errors = " ".join(letter.error for letter in letters)
    for said in (
        "Invalid JSON",
        "'Imaginary' is none of CAP's",
        "is not stored; publish",
        "chunk: ",
        "languages.en: ",
        "default_variant: ",
    ):
        assert said in errors


async def test_a_record_that_contradicts_its_stored_alert_is_a_dead_letter(stage: Control) -> None:
    """Whoever can write to Kafka cannot aim an alert at others, nor send it earlier, in part or another way."""
    await add_recipients(stage.connection, "riverside", 12)
    await add_recipients(stage.connection, "others", 5, number="+4916")
    await stage.connection.execute("UPDATE recipients SET participant = true WHERE mod(id, 6) = 0")
    content = alert_content(["riverside"], status="Exercise")
    right = _expansion_of(content, status="Exercise", participants_only=True)
    changes: list[tuple[str, dict[str, Any]]] = [
        ("groups: is ('others',)", {"groups": ["others"]}),
        ("groups: is ('riverside', 'others')", {"groups": ["riverside", "others"]}),
        ("participants_only: is False", {"participants_only": False}),
        ("lane: ", {"lane": "routine"}),
        ("status: ", {"status": "Actual"}),
        ("expires_at: ", {"expires_at": right["expires_at"] + 1_000}),
        ("chunk: 0 is not stored; resolve its audience", {"kind": "chunk", "chunks": 1}),
    ]
    # With the key of the alert they are on the partition of the planner's own record, and before it.
    key = str(id_of(content)).encode()
    await stage.put("expansions.immediate.v1", *(right | change for _, change in changes), key=key)
    await publish(stage, content)
    async with stage.running(expander.run, "expander"):
        row = await stage.state(id_of(content), "sending")
        await stage.until(lambda: _letters(stage, len(changes)))
        await stage.until(lambda: _count(stage, 2))
        assert (row["audience"], row["chunks"]) == (2, 1)
        chunks: list[tuple[str, dict[str, Any]]] = [
            ("chunk: is 0 of 2", {"chunks": 2}),
            ("chunk: is 1 of 1", {"chunk": 1, "chunks": 1}),
            ("groups: ", {"chunks": 1, "groups": ["others"]}),
        ]
        changes += chunks
        for _, change in chunks:
            await stage.put("expansions.immediate.v1", right | {"kind": "chunk"} | change, key=key)
        await stage.until(lambda: _letters(stage, len(changes)))
    letters = [msgspec.json.decode(record.value, type=DeadLetter) for record in await stage.read("deadletters.v1")]
    for (said, _), letter in zip(changes, letters, strict=True):
        assert said in letter.error
    assert sorted(int(record.key) for record in await jobs(stage)) == [6, 12]


async def test_the_languages_of_a_record_are_not_believed(stage: Control) -> None:
    await add_recipients(stage.connection, "riverside", 4)
    content = alert_content(["riverside"])
    forged = _expansion_of(content) | {"languages": {"en": 1, "de": 0}, "default_variant": 1}
    await stage.put("expansions.immediate.v1", forged, key=str(id_of(content)).encode())
    await publish(stage, content)
    async with stage.running(expander.run, "expander"):
        await stage.until(lambda: _count(stage, 2 * 4))
    german = {row[0] for row in await stage.connection.fetch("SELECT id FROM recipients WHERE language = 'de'")}
    found = [msgspec.json.decode(record.value, type=Job) for record in await jobs(stage)]
    assert {job.recipient_id for job in found if job.variant == 1} == german


async def test_an_alert_that_is_not_planned_or_is_finished_is_not_expanded(stage: Control) -> None:
    await add_recipients(stage.connection, "riverside", 12)
    done, held = alert_content(["riverside"]), alert_content(["riverside"])
    await publish(stage, done, held)
    # As where a second person must approve it.
    await stage.connection.execute(
        "UPDATE alerts SET state = 'pending_approval', planned_at = NULL, control = NULL WHERE alert_id = $1",
        id_of(held),
    )
    async with stage.running(expander.run, "expander"):
        await stage.state(id_of(done), "sending")
        await stage.until(lambda: _letters(stage, 1))
        await stage.until(lambda: _count(stage, 12))
        await stage.connection.execute(
            "UPDATE alerts SET state = 'completed', completed_at = now() WHERE alert_id = $1", id_of(done)
        )
        again = _expansion_of(done)
        await stage.put("expansions.immediate.v1", again, again | {"kind": "chunk", "chunks": 2})
        await stage.until(lambda: _letters(stage, 3))
    letters = [msgspec.json.decode(record.value, type=DeadLetter) for record in await stage.read("deadletters.v1")]
    said = sorted(letter.error.partition(" is ")[2] for letter in letters)
    assert [each.partition(" ")[0].strip(":") for each in said] == ["finished", "not", "pending_approval"]
    assert await _count(stage, 12)


def _expansion_of(content: dict[str, Any], **changes: Any) -> dict[str, Any]:
    expires = datetime.fromisoformat(content["info"][0]["expires"])
    return {
        "kind": "audience",
        "alert_id": str(id_of(content)),
        "lane": "immediate",
        "status": content["status"],
        "groups": content["groups"],
        "expires_at": int(expires.timestamp() * 1000),
        "languages": {"en": 0, "en-gb": 0, "de": 1, "de-de": 1},
    } | changes


async def test_an_urgent_alert_goes_ahead_of_the_chunks_that_were_read_before_it(stage: Control) -> None:
    """Faust reads ahead; what finds no room in its stream would hold up every other lane until there is some."""
    await add_recipients(stage.connection, "everybody", 6_000)
    await stage.connection.execute("INSERT INTO groups (name) VALUES ('few')")
    await stage.connection.execute("INSERT INTO group_members SELECT 2, id FROM recipients LIMIT 5")
    routine, urgent = alert_content(["everybody"], urgency="Future"), alert_content(["few"])
    for info in routine["info"]:
        info["severity"] = "Minor"
    await publish(stage, routine, urgent)
    [event] = await stage.read("expansions.immediate.v1")
    asked_at = []
    async with stage.running(expander.run, "expander"):
        await stage.until(lambda: _begun(stage, "routine"))
        for _ in range(8):
            asked_at.append(epoch_milliseconds())
            await stage.put("expansions.immediate.v1", event.value, key=event.key)
            await asyncio.sleep(0.2)
        await stage.state(id_of(routine), "sending")
        await stage.until(lambda: _count(stage, 5 * 9))
    sent_at = sorted({record.timestamp for record in await jobs(stage)})[1:]
    chunks_at = sorted({record.timestamp for record in await jobs(stage, "routine")})
    ahead = [bisect(chunks_at, sent) - bisect(chunks_at, asked) for asked, sent in zip(asked_at, sent_at, strict=True)]
    assert max(ahead) <= 8, f"chunks that went ahead of each: {ahead}"


async def test_a_repeat_of_an_audience_sends_the_same_chunks(stage: Control) -> None:
    await add_recipients(stage.connection, "riverside", 25)
    content = alert_content(["riverside"])
    await publish(stage, content)
    # What an expander leaves that dies after it resolved the audience; meanwhile somebody joins.
    await _resolve_only(stage, content)
    await add_recipients(stage.connection, "late", 5, number="+4916")
    await stage.connection.execute("UPDATE group_members SET group_id = 1")
    async with stage.running(expander.run, "expander"):
        await stage.state(id_of(content), "sending")
        await stage.until(lambda: _count(stage, 25))
    assert sorted(int(record.key) for record in await jobs(stage)) == list(range(1, 26))


async def _resolve_only(stage: Control, content: dict[str, Any]) -> None:
    row = await stage.row(id_of(content))
    assert row is not None
    async with stage.connection.transaction():
        audience = await resolve(
            stage.connection, row["alert_id"], row["groups"], chunk_size=10, participants_only=False
        )
        await set_audience(
            stage.connection,
            row["alert_id"],
            audience=audience.count,
            suppressed=audience.suppressed,
            chunks=audience.chunks,
            chain=audience.chain,
        )


async def _count(stage: Control, count: int) -> bool:
    return len(await jobs(stage)) == count


async def _resolving(stage: Control) -> bool:
    return bool(
        await stage.connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock')"
        )
    )


async def _expanded(stage: Control, content: dict[str, Any]) -> bool:
    row = await stage.row(id_of(content))
    return row is not None and row["expanded_at"] is not None


async def _begun(stage: Control, lane: str) -> bool:
    return bool(await jobs(stage, lane))


async def _letters(stage: Control, count: int) -> bool:
    return len(await stage.read("deadletters.v1")) == count
