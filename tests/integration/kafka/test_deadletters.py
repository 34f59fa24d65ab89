"""Dead letters on a real broker: listed, shown, and put back once; the command says the same."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from broadcast.audit.attempts.decoding import Poison
from broadcast.audit.attempts.poison import PoisonWriter
from broadcast.audit.evidence.chain import RawRecord
from broadcast.deadletters.deciding import deciding_letter, dismiss_deadletter, replay_deadletter
from broadcast.deadletters.letters import Found
from broadcast.deadletters.open_letters import OpenLetters
from broadcast.deadletters.reading import find_deadletter, stream_deadletters
from broadcast.deadletters.writing import REPLAY_HEADER, encode_letter
from broadcast.errors import FencedError, InputError
from broadcast.kafka.batches import Record
from broadcast.kafka.events import Event, ending_of
from broadcast.kafka.sources import Sources
from broadcast.kafka.topics import create_topics
from broadcast.routing import Route
from broadcast.settings import Settings
from schemas.topics import Names

from .conftest import Make, Read

ROUTES = [
    Route(
        name="sim",
        prefixes=("+",),
        delays_seconds=(1,),
        accounts=({"name": "a", "host": "127.0.0.1", "port": 2775, "system_id": "a"},),
    )
]


async def read_deadletters(settings: Settings) -> list[Found]:
    return [found async for found in stream_deadletters(settings)]


@pytest.fixture
async def poisoned(kafka_settings: Settings) -> Settings:
    """Two dead letters: one of text, one whose key, value and error were too large to keep."""
    await create_topics(kafka_settings, ROUTES)
    alerts = f"{kafka_settings.topic_prefix}alerts.v1"
    events = [Event(alerts, 0, 0, b"key", b"not json"), Event(alerts, 0, 1, b"k" * 900_000, b"x" * 700_000)]
    async with Sources(kafka_settings, "planner") as sources:
        source = await sources.get(TopicPartition(alerts, 0))
        for event in events:
            error = "is not JSON" if event.offset == 0 else "is too large: " + "y" * 900_000
            key, value = encode_letter(event, topic=alerts, partition=0, stage="planner", error=error)
            await source.commit(event.offset, [Record(Names(kafka_settings.topic_prefix).deadletters, key, value)])
    return kafka_settings


async def test_dead_letters_are_listed_and_shown(poisoned: Settings) -> None:
    first, second = await read_deadletters(poisoned)
    assert (first.letter.key, first.letter.value, first.letter.error) == (b"key", b"not json", "is not JSON")
    assert first.replayed is False
    assert second.letter.truncated is True
    assert (await find_deadletter(poisoned, second.offset)).letter == second.letter
    with pytest.raises(InputError, match="offset 999: no dead letter is kept there"):
        await find_deadletter(poisoned, 999)


async def test_a_record_goes_back_once(poisoned: Settings, read_topic: Read) -> None:
    first, second = await read_deadletters(poisoned)
    await replay_deadletter(poisoned, first.offset)
    (record,) = await read_topic(f"{poisoned.topic_prefix}alerts.v1")
    assert (record.key, record.value) == (b"key", b"not json")
    assert record.headers == ((REPLAY_HEADER, str(first.offset).encode()),)
    # The next one to decide is held back until what was decided before can be seen.
    with pytest.raises(InputError, match="was put back before"):
        await replay_deadletter(poisoned, first.offset)
    assert [found.replayed for found in await read_deadletters(poisoned)] == [True, False]
    with pytest.raises(InputError, match="only its beginning was kept"):
        await replay_deadletter(poisoned, second.offset)
    _, again = encode_letter(record, topic=record.topic, partition=0, stage="planner", error="is not JSON")
    assert f"again, after the replay of {first.offset}".encode() in again


async def test_a_letter_that_names_a_topic_of_others_is_not_put_back(
    kafka_settings: Settings, make_topic: Make, read_topic: Read
) -> None:
    await create_topics(kafka_settings, ROUTES)
    await make_topic("payments")
    record = RawRecord(9, 0, b"1", b"100 EUR", ())
    await PoisonWriter(kafka_settings).write([("payments", 0, Poison(record, "is not JSON"))])
    (found,) = await read_deadletters(kafka_settings)
    with pytest.raises(InputError, match="topic 'payments' is none of this system's"):
        await replay_deadletter(kafka_settings, found.offset)
    assert await read_topic("payments") == []
    await dismiss_deadletter(kafka_settings, found.offset)


async def test_the_recorder_says_of_a_replayed_record_that_it_fails_again(kafka_settings: Settings) -> None:
    await create_topics(kafka_settings, ROUTES)
    names = Names(kafka_settings.topic_prefix)
    record = RawRecord(9, 0, b"1", b"{", ((REPLAY_HEADER, b"3"),))
    await PoisonWriter(kafka_settings).write([(names.statuses, 1, Poison(record, "is not JSON"))])
    (found,) = await read_deadletters(kafka_settings)
    assert (found.letter.stage, found.letter.offset) == ("recorder", 9)
    assert found.letter.error == "is not JSON (again, after the replay of 3)"


async def test_a_dismissed_one_stays_and_is_no_longer_open(poisoned: Settings) -> None:
    letters = OpenLetters(poisoned)
    topic = f"{poisoned.topic_prefix}alerts.v1"
    assert await letters.count() == {topic: 2}
    first, second = await read_deadletters(poisoned)
    await dismiss_deadletter(poisoned, second.offset)
    assert await letters.count() == {topic: 1}
    assert [found.dismissed for found in await read_deadletters(poisoned)] == [False, True]
    with pytest.raises(InputError, match="was dismissed before"):
        await replay_deadletter(poisoned, second.offset)
    await replay_deadletter(poisoned, first.offset)
    assert await letters.count() == {}
    with pytest.raises(InputError, match="was put back before"):
        await dismiss_deadletter(poisoned, first.offset)


async def test_two_replays_at_one_moment_put_it_back_once(poisoned: Settings, read_topic: Read) -> None:
    first, _ = await read_deadletters(poisoned)
    results = await asyncio.gather(
        replay_deadletter(poisoned, first.offset), replay_deadletter(poisoned, first.offset), return_exceptions=True
    )
    assert any(isinstance(result, FencedError | InputError) for result in results), results
    assert len(await read_topic(f"{poisoned.topic_prefix}alerts.v1")) == 1


async def test_who_is_overtaken_between_two_sends_is_told_so(poisoned: Settings, read_topic: Read) -> None:
    first, _ = await read_deadletters(poisoned)
    alerts = f"{poisoned.topic_prefix}alerts.v1"

    async def decide_too_late() -> None:
        async with deciding_letter(poisoned, first.offset) as (_, producer), producer.transaction():
            await replay_deadletter(poisoned, first.offset)
            await producer.send(alerts, b"overtaken")
            while ending_of(producer) is None:
                await asyncio.sleep(0.01)
            await producer.send(alerts, b"overtaken")

    with pytest.raises(FencedError, match="another command decides"):
        await decide_too_late()
    assert [record.value for record in await read_topic(alerts)] == [b"not json"]


async def test_the_command_lists_shows_and_replays(poisoned: Settings) -> None:
    listed = json.loads(await _run(poisoned, "list", "--json"))
    assert [(found["error"][:13], found["replayed"]) for found in listed] == [
        ("is not JSON", False),
        ("is too large:", False),
    ]
    offset = str(listed[0]["offset"])
    assert json.loads(await _run(poisoned, "show", offset, "--json"))["text"] == "not json"
    assert "not json" in await _run(poisoned, "show", offset)
    assert [found["offset"] for found in json.loads(await _run(poisoned, "list", "--json", "--limit", "1"))] == [
        int(offset)
    ]
    since = json.loads(await _run(poisoned, "list", "--json", "--since", str(int(offset) + 1)))
    assert since == listed[1:]
    assert json.loads(await _run(poisoned, "list", "--json", "--since", "1000")) == []
    assert "again" in await _run(poisoned, "replay", offset)
    assert "replayed" in await _run(poisoned, "list")
    assert "was put back before" in await _run(poisoned, "replay", offset, code=1)
    other = str(listed[1]["offset"])
    assert json.loads(await _run(poisoned, "dismiss", other, "--json"))["dismissed"] is True
    assert "was dismissed before" in await _run(poisoned, "dismiss", other, code=1)
    assert "dismissed" in await _run(poisoned, "list")


async def _run(settings: Settings, *arguments: str, code: int = 0) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "broadcast", "deadletters", *arguments),
        env={
            "PATH": os.environ["PATH"],
            "BROADCAST_DATA_DIR": str(settings.data_dir),
            "BROADCAST_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
            "BROADCAST_TOPIC_PREFIX": settings.topic_prefix,
        },
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == code, err.decode()
    return (err if code else out).decode()
