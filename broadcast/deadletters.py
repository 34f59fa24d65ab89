"""Dead letters: records that could not be read, what they were, and putting one back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
from aiokafka import TopicPartition

from broadcast.clock import epoch_milliseconds
from broadcast.errors import InputError
from broadcast.kafka.clients import make_consumer, make_producer
from broadcast.kafka.events import Event, Output
from broadcast.settings import Settings
from schemas.deadletter import DeadLetter
from schemas.topics import Names

REPLAY_HEADER = "tocsin_replayed_from"
"""On a replayed record: the offset of its dead letter. A record that fails again says so in its new dead letter."""

REPLAYED_HEADER = "tocsin_replay_of"
"""On the note that a replay leaves among the dead letters: the offset of the one that was put back."""

READ_BUDGET_SECONDS = 10.0
"""For the next batch of dead letters: far above a broker's answer, below a person's patience."""

VALUE_BYTES_MAX = 600_000
"""Most bytes kept of a value: as base64 they fit a record of 1 MiB, the largest a broker takes by default."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(DeadLetter)


@dataclass(frozen=True, slots=True)
class Found:
    """One dead letter with its offset; `replayed` once it was put back."""

    offset: int
    letter: DeadLetter
    replayed: bool = False


def deadletter_of(settings: Settings, stage: str, event: Event, error: str) -> Output:
    """The record that puts an event aside."""
    again = dict(event.headers).get(REPLAY_HEADER)
    value = event.value
    truncated = value is not None and len(value) > VALUE_BYTES_MAX
    letter = DeadLetter(
        topic=event.topic,
        partition=event.partition,
        offset=event.offset,
        stage=stage,
        error=f"{error} (again, after the replay of {again.decode()})" if again else error,
        at=epoch_milliseconds(),
        key=event.key,
        value=value[:VALUE_BYTES_MAX] if value is not None else None,
        truncated=truncated,
    )
    return Output(Names(settings.topic_prefix).deadletters, event.topic.encode(), _encoder.encode(letter))


async def read_deadletters(settings: Settings) -> list[Found]:
    """Every dead letter that is kept, oldest first, those that were replayed marked so."""
    letters: list[tuple[int, DeadLetter]] = []
    replayed: set[int] = set()
    async for offset, value, headers in _read(settings):
        if REPLAYED_HEADER in headers:
            replayed.add(int(headers[REPLAYED_HEADER]))
            continue
        try:
            letters.append((offset, _decoder.decode(value)))
        except (msgspec.MsgspecError, RecursionError) as error:
            topic = Names(settings.topic_prefix).deadletters
            letters.append((offset, DeadLetter(topic, 0, offset, "", f"not a dead letter: {error}", 0, value=value)))
    return [Found(offset, letter, offset in replayed) for offset, letter in letters]


async def find_deadletter(settings: Settings, offset: int) -> Found:
    """The dead letter at an offset; InputError when there is none."""
    for found in await read_deadletters(settings):
        if found.offset == offset:
            return found
    raise InputError(
        f"offset {offset}: no dead letter is kept there; `broadcast deadletters list` shows those that are"
    )


async def replay_deadletter(settings: Settings, offset: int) -> DeadLetter:
    """Put the record back on its topic and note that, in one transaction; InputError if it was put back before."""
    topic = Names(settings.topic_prefix).deadletters
    # One id for all: a second replay at the same moment fences this one, so a record never goes back twice.
    producer = make_producer(settings, transactional_id=f"{settings.topic_prefix}deadletters.replay")
    await producer.start()
    try:
        found = await find_deadletter(settings, offset)
        if found.replayed:
            raise InputError(f"offset {offset}: was put back before; look for what became of it instead")
        letter = found.letter
        if letter.topic == topic:
            raise InputError(f"offset {offset}: is not a dead letter, so there is nothing to put back")
        if letter.truncated:
            raise InputError(f"offset {offset}: only its beginning was kept; publish the record anew")
        async with producer.transaction():
            mark = str(offset).encode()
            back = await producer.send(
                letter.topic, letter.value, key=letter.key or b"", headers=[(REPLAY_HEADER, mark)]
            )
            note = await producer.send(topic, b"null", key=letter.topic.encode(), headers=[(REPLAYED_HEADER, mark)])
            await asyncio.gather(back, note)
    finally:
        await producer.stop()
    return letter


async def _read(settings: Settings) -> AsyncIterator[tuple[int, bytes, dict[str, bytes]]]:
    partition = TopicPartition(Names(settings.topic_prefix).deadletters, 0)
    consumer = make_consumer(settings, auto_offset_reset="earliest")
    consumer.assign([partition])
    await consumer.start()
    try:
        end = (await consumer.end_offsets([partition]))[partition]
        await consumer.seek_to_beginning(partition)
        while await asyncio.wait_for(consumer.position(partition), READ_BUDGET_SECONDS) < end:
            for records in (await consumer.getmany(partition, timeout_ms=200)).values():
                for record in records:
                    yield record.offset, record.value or b"", dict(record.headers)
    finally:
        await consumer.stop()
