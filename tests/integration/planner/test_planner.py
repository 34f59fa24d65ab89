"""The planner on a real broker and a real database: what is asked, what is stored, what follows."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from structlog.testing import capture_logs

from broadcast.alerts.planning import Planning
from broadcast.alerts.store import durable_transaction
from broadcast.clock import utc_now
from broadcast.database import create_pool
from broadcast.embedded.servers.kafka import Kafka
from broadcast.embedded.servers.postgres import Postgres
from broadcast.routes_file import load_routes
from broadcast.settings import Settings
from schemas.alert import read_event
from schemas.control import Control as ControlRecord
from schemas.control import Stop
from schemas.deadletter import DeadLetter
from schemas.expansion import Expansion
from streams import planner
from streams.app import Stage
from tests.support.freezing import frozen
from tests.support.waiting import eventually

from ..control import Control, add_recipients, alert_content, control, id_of, reference_of

AWAY_SECONDS = 12.0
"""Longer than a request to Kafka may take."""

CROSSING = alert_content([])["info"][0] | {"area": [{"areaDesc": "river", "polygon": ["0,0 1,1 1,0 0,1 0,0"]}]}


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Control]:
    """A broker and a database with one group; the planner is not running yet."""
    async with control(settings) as made:
        await add_recipients(made.connection, "riverside", 3)
        yield made


async def controls(stage: Control) -> dict[bytes, bytes]:
    """The control topic as compaction leaves it."""
    return {record.key: record.value for record in await stage.read("control.v1")}


async def expansions(stage: Control, lane: str = "immediate") -> list[Expansion]:
    records = await stage.read(f"expansions.{lane}.v1")
    return [Expansion.model_validate_json(record.value) for record in records]


async def test_an_alert_becomes_control_and_one_expansion(stage: Control) -> None:
    content = alert_content(["riverside"])
    alert_id = id_of(content)
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content)
        row = await stage.state(alert_id, "expanding")
        (expansion,) = await stage.until(lambda: expansions(stage))
    assert row["lane"] == "immediate"
    assert row["groups"] == ["riverside"]
    assert row["actor"] == "kafka"
    assert expansion.kind == "audience"
    assert expansion.alert_id == alert_id
    assert expansion.languages == {"en": 0, "en-gb": 0, "de": 1, "de-de": 1}
    record = msgspec.json.decode((await controls(stage))[str(alert_id).encode()], type=ControlRecord)
    assert [variant.text for variant in record.variants] == ["Flood: leave the river", "Hochwasser: Ufer verlassen"]
    assert record.expires_at == expansion.expires_at == int(row["expires_at"].timestamp() * 1000)
    assert await stage.events(alert_id) == ["planned", "submitted"]


async def test_the_same_alert_again_is_nothing_new_and_another_by_its_name_is_a_conflict(stage: Control) -> None:
    content = alert_content(["riverside"])
    other = content | {"groups": ["riverside", "riverside-2"]}
    after = alert_content(["riverside"])
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content, content, other, after)
        await stage.state(id_of(after), "expanding")
        await stage.until(lambda: _count(stage, 2))
    assert [one.alert_id for one in await expansions(stage)].count(id_of(content)) == 1
    assert await stage.events(id_of(content)) == ["planned", "submitted", "duplicate", "conflict"]


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({"groups": ["nowhere"]}, "refused", "no group nowhere is known"),
        ({"groups": []}, "refused", "names no target group"),
        ({"status": "System"}, "refused", "status System is not for recipients"),
        ({"status": "Draft"}, "refused", "status Draft is not for recipients"),
        ({"msgType": "Ack", "references": "a@b,c,2026-01-01T00:00:00-00:00"}, "refused", "msgType Ack answers"),
        ({"msgType": "Update", "references": "a@b,c,2026-01-01T00:00:00-00:00"}, "refused", "only the sender"),
        ({"info": []}, "refused", "needs an info"),
        ({"info": [CROSSING]}, "refused", "info[0].area[0].polygon[0]: crosses"),
    ],
)
async def test_what_cannot_be_sent_is_refused_with_its_reason(
    stage: Control, changes: dict[str, object], state: str, reason: str
) -> None:
    content = alert_content(["riverside"]) | changes
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content)
        row = await stage.state(id_of(content), state)
    assert reason in row["reason"]
    assert await stage.read("control.v1") == []
    assert await expansions(stage) == []


async def test_an_alert_that_expired_on_its_way_is_not_sent(stage: Control) -> None:
    content = alert_content(["riverside"], lifetime_seconds=-1)
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content)
        row = await stage.state(id_of(content), "expired")
    assert "before it came" in row["reason"]
    assert await expansions(stage) == []


async def test_lanes_follow_urgency(stage: Control) -> None:
    content = alert_content(["riverside"], urgency="Future")
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content)
        await stage.until(lambda: expansions(stage, "priority"))
    assert await expansions(stage, "immediate") == []


async def test_a_cancelled_event_stops_and_repeats_do_no_harm(stage: Control) -> None:
    content = alert_content(["riverside"])
    alert_id = id_of(content)
    cancel = {"event": "cancelled", "alert_id": alert_id, "actor": "duty officer", "reason": "mistaken"}
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content, cancel, cancel)
        row = await stage.state(alert_id, "cancelled")
        await stage.until(lambda: _count(stage, 1))
        stop = msgspec.json.decode(await stage.until(lambda: _stop(stage, alert_id)), type=Stop)
    assert row["stopped_at"] is not None
    assert (stop.alert_id, stop.actor, stop.reason) == (str(alert_id), "duty officer", "mistaken")


async def test_a_stop_of_a_completed_alert_leaves_it_completed_and_an_update_of_it_is_sent(stage: Control) -> None:
    by_id, by_message = alert_content(["riverside"]), alert_content(["riverside"])
    message = alert_content([], msgType="Cancel", references=reference_of(by_message))
    updates = [
        alert_content(["riverside"], msgType="Update", references=reference_of(each)) for each in (by_id, by_message)
    ]
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", by_id, by_message)
        await stage.state(id_of(by_message), "expanding")
        await stage.connection.execute("UPDATE alerts SET state = 'completed', completed_at = now()")
        await stage.put("alerts.v1", {"event": "cancelled", "alert_id": id_of(by_id), "actor": "duty officer"}, message)
        await stage.state(id_of(message), "completed")
        for content in (by_id, by_message):
            assert (await stage.state(id_of(content), "completed"))["stopped_at"] is not None
            await stage.until(partial(_stop, stage, id_of(content)))
        await stage.put("alerts.v1", *updates)
        for content, update in zip((by_id, by_message), updates, strict=True):
            await stage.state(id_of(update), "expanding")
            await stage.state(id_of(content), "superseded")


async def test_a_cancel_before_its_alert_is_remembered(stage: Control) -> None:
    content = alert_content(["riverside"])
    alert_id = id_of(content)
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", {"event": "cancelled", "alert_id": alert_id, "actor": "duty officer"}, content)
        row = await stage.state(alert_id, "cancelled")
        await stage.until(lambda: _stop(stage, alert_id))
    assert row["reason"] == "was cancelled before it came"
    assert await expansions(stage) == []


async def test_a_cap_cancel_stops_what_it_names_and_is_sent_to_nobody(stage: Control) -> None:
    content = alert_content(["riverside"])
    cancel = alert_content([], msgType="Cancel", references=reference_of(content))
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content, cancel)
        await stage.state(id_of(content), "cancelled")
        row = await stage.state(id_of(cancel), "completed")
        await stage.until(lambda: _stop(stage, id_of(content)))
    assert (row["audience"], row["chunks"]) == (0, 0)
    assert [one.alert_id for one in await expansions(stage)] == [id_of(content)]


async def test_an_update_withdraws_the_old_alert_and_is_sent(stage: Control) -> None:
    content = alert_content(["riverside"])
    update = alert_content(["riverside"], msgType="Update", references=reference_of(content))
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content, update)
        await stage.state(id_of(update), "expanding")
        await stage.until(lambda: _stop(stage, id_of(content)))
        await stage.until(lambda: _count(stage, 2))
    row = await stage.row(id_of(content))
    assert row is not None
    assert row["state"] == "superseded"
    assert str(id_of(update)).encode() in await controls(stage)


@pytest.mark.parametrize("status", ["Actual", "Exercise"])
async def test_an_update_that_nobody_would_get_leaves_the_old_alert_alone(stage: Control, status: str) -> None:
    await stage.connection.execute("INSERT INTO groups (name) VALUES ('nobody')")
    content = alert_content(["riverside"], status=status)
    groups = ["nobody"] if status == "Actual" else ["riverside"]
    update = alert_content(groups, msgType="Update", references=reference_of(content), status=status)
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content, update)
        row = await stage.state(id_of(update), "refused")
        after = alert_content(["riverside"])
        await stage.put("alerts.v1", after)
        await stage.until(lambda: _count(stage, 2))
    who = "recipient" if status == "Actual" else "marked participant"
    assert f"no {who} is in {groups[0]}, so it replaces nothing" in row["reason"]
    known = await stage.row(id_of(content))
    assert known is not None
    assert known["state"] == "expanding"
    assert not [key for key in await controls(stage) if key.endswith(b"/stop")]


async def alarm_of(stage: Control, alert_id: UUID) -> str | None:
    detail: str | None = await stage.connection.fetchval(
        "SELECT detail FROM alarms WHERE kind = 'alert_not_sent' AND subject = $1", str(alert_id)
    )
    return detail


async def test_an_update_of_an_alert_that_expired_unsent_is_sent(stage: Control) -> None:
    content = alert_content(["riverside"], lifetime_seconds=-1)
    update = alert_content(["riverside"], msgType="Update", references=reference_of(content))
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content, update)
        await stage.state(id_of(content), "expired")
        await stage.state(id_of(update), "expanding")
        await stage.until(lambda: _count(stage, 1))
    assert not [key for key in await controls(stage) if key.endswith(b"/stop")]
    assert await alarm_of(stage, id_of(content)) is None, "it had lapsed before anybody published it"


async def test_an_update_before_its_alert_is_sent_and_the_alert_is_not(stage: Control) -> None:
    content = alert_content(["riverside"])
    update = alert_content(["riverside"], msgType="Update", references=reference_of(content))
    exercise = update | {"identifier": "of-another-status", "status": "Exercise"}
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", update, content)
        await stage.state(id_of(update), "expanding")
        row = await stage.state(id_of(content), "superseded")
        await stage.until(lambda: _count(stage, 1))
        other = alert_content(["riverside"])
        exercise |= {"references": reference_of(other), "sent": other["sent"]}
        await stage.connection.execute("UPDATE recipients SET participant = true")
        await stage.put("alerts.v1", exercise, other)
        await stage.state(id_of(exercise), "expanding")
        await stage.state(id_of(other), "expanding")
    assert row["reason"] == f"by {reference_of(update)}, which came before it"


async def test_what_is_in_force_and_not_sent_raises_an_alarm_that_says_why(stage: Control) -> None:
    content = alert_content(["riverside"])
    cancelled = {"event": "cancelled", "alert_id": id_of(content), "actor": "duty officer"}
    update = alert_content(["riverside"], msgType="Update", references=reference_of(content))
    nowhere, namesake = alert_content(["nowhere"]), content | {"note": "another content"}
    lapsed = alert_content(["riverside"], lifetime_seconds=-5)
    came_at = read_event(json.dumps(lapsed).encode()).at.timestamp() - 60
    late = {
        "event": "submitted",
        "alert": lapsed,
        "actor": "gateway",
        "at": datetime.fromtimestamp(came_at, UTC).isoformat(),
    }
    cancel = alert_content([], msgType="Cancel", references="warnings@example.org,nobody,2026-01-01T00:00:00-00:00")
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content, cancelled, update, nowhere, namesake, late, cancel)
        await stage.state(id_of(update), "refused")
        await stage.state(id_of(nowhere), "refused")
        await stage.state(id_of(lapsed), "expired")
        await stage.state(id_of(cancel), "refused")
    assert "which was cancelled; publish it as an Alert" in str(await alarm_of(stage, id_of(update)))
    assert "no group nowhere is known" in str(await alarm_of(stage, id_of(nowhere)))
    assert "two alerts with one name" in str(await alarm_of(stage, id_of(content)))
    assert "before it came" in str(await alarm_of(stage, id_of(lapsed)))
    assert "this Cancel stops nothing" in str(await alarm_of(stage, id_of(cancel)))


async def test_a_cancel_leaves_the_update_of_what_it_names_and_says_so_with_an_alarm(stage: Control) -> None:
    first, other = alert_content(["riverside"]), alert_content(["riverside"])
    second = alert_content(["riverside"], msgType="Update", references=reference_of(first))
    third = alert_content(["riverside"], msgType="Update", references=reference_of(second))
    nothing = alert_content([], msgType="Cancel", references=reference_of(first))
    partly = alert_content([], msgType="Cancel", references=f"{reference_of(first)} {reference_of(other)}")
    chain = alert_content([], msgType="Cancel", references=f"{reference_of(first)} {reference_of(third)}")
    again = alert_content([], msgType="Cancel", references=reference_of(first))
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", first, second, third, other, nothing, partly)
        refused = await stage.state(id_of(nothing), "refused")
        half = await stage.state(id_of(partly), "completed")
        live = await stage.row(id_of(third))
        await stage.put("alerts.v1", chain, again)
        whole = await stage.state(id_of(chain), "completed")
        ended = await stage.state(id_of(again), "completed")
    assert live is not None
    assert live["state"] == "expanding", "a Cancel stops nothing that it does not name"
    left = f"was replaced by Update {reference_of(third)}, which is still expanding"
    assert refused["reason"].startswith(f"stopped nothing: {reference_of(first)}: {left}")
    assert f"`broadcast alert cancel {id_of(third)}`" in refused["reason"]
    assert left in str(await alarm_of(stage, id_of(nothing)))
    assert left in half["reason"]
    assert "has not stopped everything" in str(await alarm_of(stage, id_of(partly)))
    assert "incomplete" in await stage.events(id_of(partly))
    assert "nothing more of it is submitted" in whole["reason"]
    assert ended["reason"].startswith("stopped nothing: ")
    for cancel in (chain, again):
        assert await alarm_of(stage, id_of(cancel)) is None


async def test_an_info_that_has_ended_does_not_end_the_others(stage: Control) -> None:
    content = alert_content(["riverside"])
    ended = alert_content(["riverside"], lifetime_seconds=-1, urgency="Future")["info"][0]
    content["info"] = [ended, content["info"][1]]
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content)
        row = await stage.state(id_of(content), "expanding")
        (expansion,) = await stage.until(lambda: expansions(stage))
    record = msgspec.json.decode((await controls(stage))[str(id_of(content)).encode()], type=ControlRecord)
    assert [variant.text for variant in record.variants] == ["Hochwasser: Ufer verlassen"]
    assert (expansion.languages, row["lane"]) == ({"de": 0, "de-de": 0}, "immediate")


async def test_an_update_for_groups_within_groups_is_sent(stage: Control) -> None:
    await stage.connection.execute("INSERT INTO groups (name) VALUES ('above')")
    await stage.connection.execute(
        "INSERT INTO group_groups (parent_id, child_id) SELECT above.id, below.id FROM groups AS above, groups AS below"
        " WHERE above.name = 'above' AND below.name = 'riverside'"
    )
    content = alert_content(["riverside"])
    update = alert_content(["above"], msgType="Update", references=reference_of(content))
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content, update)
        await stage.state(id_of(update), "expanding")


async def test_a_cancel_finds_its_alert_behind_a_namesake_that_was_refused(stage: Control) -> None:
    content = alert_content(["riverside"])
    cancel = alert_content([], msgType="Cancel", references=reference_of(content))
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content)
        await stage.state(id_of(content), "expanding")
        # A record under another id is a dead letter; an older release stored such an alert, and refused it.
        await stage.connection.execute(
            """
            INSERT INTO alerts
            SELECT (jsonb_populate_record(alerts, jsonb_build_object('alert_id', $2::uuid, 'state', 'refused'))).*
            FROM alerts WHERE alert_id = $1
            """,
            *(id_of(content), UUID(int=2**128 - 1)),
        )
        await stage.put("alerts.v1", cancel)
        await stage.state(id_of(cancel), "completed")
        await stage.state(id_of(content), "cancelled")
        await stage.until(lambda: _stop(stage, id_of(content)))


async def test_one_sender_cannot_cancel_anothers_alert(stage: Control) -> None:
    content = alert_content(["riverside"])
    cancel = alert_content([], msgType="Cancel", references=reference_of(content), sender="other@example.org")
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content, cancel)
        row = await stage.state(id_of(cancel), "refused")
    assert "only the sender" in row["reason"]
    known = await stage.row(id_of(content))
    assert known is not None
    assert known["state"] == "expanding"


@pytest.mark.parametrize(
    "poison",
    [
        b"\xff\x00 not json",
        b"",
        b"[]",
        b'{"event":"submitted"}',
        b'{"event":"exploded","alert_id":"6b3f4f1e-57c0-4c7a-9d4e-3a8a2d1f0c11"}',
        b'{"identifier":"no sender"}',
        b'{"pad":"' + b"x" * 700_000 + b'"}',
    ],
    ids=["bytes", "empty", "list", "no-alert", "unknown-event", "not-cap", "too-large"],
)
async def test_poison_becomes_a_dead_letter_and_the_stream_goes_on(stage: Control, poison: bytes) -> None:
    content = alert_content(["riverside"])
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", poison, content, key=b"some key")
        await stage.state(id_of(content), "expanding")
        (record,) = await stage.until(lambda: stage.read("deadletters.v1"))
    letter = msgspec.json.decode(record.value, type=DeadLetter)
    assert letter.topic == f"{stage.prefix}alerts.v1"
    assert (letter.offset, letter.stage, letter.key) == (0, "planner", b"some key")
    assert letter.value is not None
    assert poison.startswith(letter.value)
    assert letter.truncated is (letter.value != poison)
    assert letter.error


@pytest.mark.parametrize("of_another", [True, False], ids=["the id of another alert", "an id of no alert"])
async def test_an_alert_under_a_foreign_id_is_a_dead_letter_and_stands_in_nobodys_way(
    stage: Control, of_another: bool
) -> None:
    first, second = alert_content(["riverside"]), alert_content(["riverside"])
    foreign = id_of(first) if of_another else uuid4()
    forged = {"event": "submitted", "alert_id": str(foreign), "alert": second, "actor": "kafka"}
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", first)
        await stage.state(id_of(first), "expanding")
        await stage.put("alerts.v1", forged, second)
        await stage.state(id_of(second), "expanding")
        (record,) = await stage.until(lambda: stage.read("deadletters.v1"))
    letter = msgspec.json.decode(record.value, type=DeadLetter)
    assert (letter.offset, letter.stage) == (1, "planner")
    assert f"alert_id is {foreign}, and this alert's is {id_of(second)}: leave alert_id out" in letter.error
    assert await stage.connection.fetchval("SELECT count(*) FROM alarms") == 0
    assert await stage.events(id_of(first)) == ["planned", "submitted"]


async def test_a_record_whose_timestamp_is_no_instant_is_an_alert_like_another(stage: Control) -> None:
    content = alert_content(["riverside"])
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content, timestamp_ms=-(10**14))
        await stage.state(id_of(content), "expanding")


async def test_a_key_near_the_largest_record_becomes_a_dead_letter(stage: Control) -> None:
    content = alert_content(["riverside"])
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", b"x", key=b"k" * 900_000)
        await stage.put("alerts.v1", content)
        await stage.state(id_of(content), "expanding")
        (record,) = await stage.until(lambda: stage.read("deadletters.v1"))
    letter = msgspec.json.decode(record.value, type=DeadLetter)
    assert (letter.value, letter.truncated) == (b"x", True)
    assert letter.key == b"k" * 10_000


async def test_an_alert_that_postgresql_has_no_room_for_becomes_a_dead_letter(stage: Control) -> None:
    await stage.connection.execute("CREATE INDEX narrow ON alerts ((document::text))")
    wide = alert_content(["riverside"], note=random.Random(1).randbytes(10_000).hex())
    content = alert_content(["riverside"])
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", wide, content)
        await stage.state(id_of(content), "expanding")
        (record,) = await stage.until(lambda: stage.read("deadletters.v1"))
    letter = msgspec.json.decode(record.value, type=DeadLetter)
    assert (letter.offset, letter.stage) == (0, "planner")
    assert "index row requires" in letter.error
    assert await stage.row(id_of(wide)) is None


async def test_a_restart_begins_where_the_position_is(stage: Control) -> None:
    first, second = alert_content(["riverside"]), alert_content(["riverside"])
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", first)
        await stage.until(lambda: _count(stage, 1))
    await stage.put("alerts.v1", second)
    async with stage.running(planner.run, "planner"):
        await stage.until(lambda: _count(stage, 2))
    assert sorted(one.alert_id for one in await expansions(stage)) == sorted((id_of(first), id_of(second)))


async def test_a_crash_between_database_and_broker_sends_what_was_decided(stage: Control) -> None:
    content = alert_content(["riverside"])
    update = alert_content(["riverside"], msgType="Update", references=reference_of(content))
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", content)
        await stage.until(lambda: _count(stage, 1))
    # What a planner leaves that dies after its database transaction and before its Kafka transaction.
    pool = await create_pool(stage.settings)
    async with durable_transaction(pool) as connection:
        asked = read_event(json.dumps(update).encode())
        decided = await Planning(connection, asked, 1, stage.settings, load_routes(stage.settings), utc_now()).plan()
    await pool.close()
    assert [output.key for output in decided.control] == [
        f"{id_of(content)}/stop".encode(),
        str(id_of(update)).encode(),
    ]
    await stage.put("alerts.v1", update)
    async with stage.running(planner.run, "planner"):
        await stage.until(lambda: _count(stage, 2))
    sent = await controls(stage)
    assert {output.key for output in decided.control} < sent.keys()
    assert sent[decided.control[1].key] == decided.control[1].value
    (sent_again,) = [one for one in await expansions(stage) if one.alert_id == id_of(update)]
    assert [sent_again.model_dump_json().encode()] == [output.value for output in decided.expansions]
    assert await stage.events(id_of(update)) == ["planned", "submitted"]


async def test_a_control_record_keeps_its_value_whatever_settings_a_later_planner_has(stage: Control) -> None:
    content = alert_content(["riverside"])
    content["info"][0]["headline"] = "Leave the river. " * 20
    pool = await create_pool(stage.settings)
    async with durable_transaction(pool) as connection:
        asked = read_event(json.dumps(content).encode())
        decided = await Planning(connection, asked, 0, stage.settings, load_routes(stage.settings), utc_now()).plan()
    await pool.close()
    stage.settings = stage.settings.model_copy(update={"highest_segments": 1, "longest_expiry_seconds": 60})
    await stage.put("alerts.v1", content)
    async with stage.running(planner.run, "planner"):
        await stage.until(lambda: _count(stage, 1))
    assert await controls(stage) == {record.key: record.value for record in decided.control}
    [expansion] = await expansions(stage)
    assert [expansion.model_dump_json().encode()] == [record.value for record in decided.expansions]


async def test_a_database_that_is_away_is_waited_for(stage: Control, postgres_server: Postgres) -> None:
    content = alert_content(["riverside"])
    with capture_logs() as logs:
        async with stage.running(planner.run, "planner"):
            await postgres_server.kill9()
            await stage.put("alerts.v1", content)
            await eventually(lambda: ("service_awaited", "postgresql") in [_service(entry) for entry in logs])
            await postgres_server.start()
            await stage.until(lambda: _count(stage, 1))


def _service(entry: MutableMapping[str, object]) -> tuple[object, object]:
    return entry["event"], entry.get("service")


@pytest.mark.timeout(180)
async def test_a_broker_that_dies_is_waited_for_and_work_resumes(stage: Control, kafka_broker: Kafka) -> None:
    first, second = alert_content(["riverside"]), alert_content(["riverside"])
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", first)
        await stage.until(lambda: _count(stage, 1))
        await kafka_broker.kill9()
        await kafka_broker.start()
        await stage.put("alerts.v1", second)
        # Work resumes within 20 s of the broker's return.
        await stage.until(lambda: _count(stage, 2), budget_seconds=20)
    assert sorted(one.alert_id for one in await expansions(stage)) == sorted((id_of(first), id_of(second)))


@pytest.mark.timeout(180)
async def test_a_broker_that_is_away_while_partitions_are_assigned_is_waited_for(
    stage: Control, kafka_broker: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = alert_content(["riverside"])
    go_on = Stage._on_assigned
    away = AsyncExitStack()

    async def lose_broker(self: Stage, *arguments: Any, **keywords: Any) -> None:
        # Faust asks for the positions next.
        if not lost.is_set():
            away.enter_context(frozen(kafka_broker.process.pid))
            lost.set()
        await go_on(self, *arguments, **keywords)

    lost = asyncio.Event()
    monkeypatch.setattr(Stage, "_on_assigned", lose_broker)

    async def return_broker() -> None:
        async with away:
            await lost.wait()
            await asyncio.sleep(AWAY_SECONDS)

    returned = asyncio.create_task(return_broker())
    async with stage.running(planner.run, "planner"):
        await returned
        await stage.put("alerts.v1", content)
        # Work resumes within 20 s of the broker's return.
        await stage.until(lambda: _count(stage, 1), budget_seconds=20)
    assert [one.alert_id for one in await expansions(stage)] == [id_of(content)]


async def _count(stage: Control, count: int) -> bool:
    return len(await expansions(stage)) == count


async def _stop(stage: Control, alert_id: UUID) -> bytes | None:
    return (await controls(stage)).get(f"{alert_id}/stop".encode())


async def test_an_alert_keeps_how_much_of_its_way_is_simulated(stage: Control) -> None:
    file = stage.settings.routes_file
    assert file is not None
    alerts = {name: alert_content(["riverside"], status=status) for name, status in KEPT}
    async with stage.running(planner.run, "planner"):
        await stage.put("alerts.v1", alerts["for phones"])
        await stage.state(id_of(alerts["for phones"]), "expanding")
    file.write_text(file.read_text().replace('system_id = "a"', 'system_id = "a", simulated = true'))
    async with stage.running(planner.run, "planner") as health:
        assert "rehearsal" not in health.facts
        await stage.put("alerts.v1", alerts["refused"], alerts["test"])
        refused = await stage.state(id_of(alerts["refused"]), "refused")
        await stage.state(id_of(alerts["test"]), "expanding")
    assert "no phone is behind the simulated routes that would carry it (sim)" in refused["reason"]
    assert "BROADCAST_REHEARSAL=true" in refused["reason"]
    stage.settings = stage.settings.model_copy(update={"rehearsal": True})
    async with stage.running(planner.run, "planner") as health:
        assert "reach no phone" in health.facts["rehearsal"]
        await stage.put("alerts.v1", alerts["rehearsed"])
        await stage.state(id_of(alerts["rehearsed"]), "expanding")
    rows = {name: await stage.row(id_of(content)) for name, content in alerts.items()}
    kept = {name: row and row["simulated"] for name, row in rows.items()}
    assert kept == {"for phones": "none", "refused": None, "test": "all", "rehearsed": "all"}
    records = {
        name: msgspec.json.decode(value, type=ControlRecord)
        for name, content in alerts.items()
        if (value := (await controls(stage)).get(str(id_of(content)).encode()))
    }
    assert {name: record.for_phones for name, record in records.items()} == {
        "for phones": True,
        "test": False,
        "rehearsed": False,
    }


KEPT = (("for phones", "Actual"), ("refused", "Actual"), ("test", "Test"), ("rehearsed", "Actual"))
"""Alerts by what becomes of them, and their CAP status."""
