"""Dead letters: records that could not be read, what they were, and putting one back or laying it aside."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError

from broadcast.clock import epoch_milliseconds
from broadcast.errors import FencedError, InputError, UnavailableError
from broadcast.kafka.clients import make_consumer, make_producer
from broadcast.kafka.events import FENCED, Event, ending_of, stop_producer
from broadcast.kafka.records import Record
from broadcast.settings import Settings
from schemas.deadletter import DeadLetter, make_letter
from schemas.topics import Names

REPLAY_HEADER = "tocsin_replayed_from"
"""On a replayed record: the offset of its dead letter. A record that fails again says so in its new dead letter."""

REPLAYED_HEADER = "tocsin_replay_of"
"""On the note that a replay leaves among the dead letters: the offset of the one that was put back."""

DISMISSED_HEADER = "tocsin_dismissal_of"
"""On the note that a dismissal leaves: the offset of the one that nobody need look at again."""

READ_BUDGET_SECONDS = 10.0
"""For the next batch of dead letters: far above a broker's answer, below a person's patience."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(DeadLetter)


@dataclass(frozen=True, slots=True)
class Found:
    """One dead letter with its offset; `replayed` once it was put back, `dismissed` once it was laid aside."""

    offset: int
    letter: DeadLetter
    replayed: bool = False
    dismissed: bool = False

    @property
    def open(self) -> bool:
        """Whether somebody is still to look at it."""
        return not (self.replayed or self.dismissed)


def deadletter_of(settings: Settings, stage: str, event: Event, error: str) -> Record:
    """The record that puts an event aside."""
    again = dict(event.headers).get(REPLAY_HEADER)
    letter = make_letter(
        topic=event.topic,
        partition=event.partition,
        offset=event.offset,
        stage=stage,
        error=f"{error} (again, after the replay of {again.decode()})" if again else error,
        at=epoch_milliseconds(),
        key=event.key,
        value=event.value,
    )
    return Record(Names(settings.topic_prefix).deadletters, event.topic.encode(), _encoder.encode(letter))


async def read_deadletters(settings: Settings) -> list[Found]:
    """Every dead letter that is kept, oldest first, those that were replayed or dismissed marked so.

    UnavailableError, here and below, when Kafka or the topic of dead letters is away.
    """
    letters: dict[int, Found] = {}
    async with _reaching(settings):
        await _follow(settings, letters, 0)
    return list(letters.values())


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
    async with _deciding(settings, offset) as (found, producer):
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
    return letter


async def dismiss_deadletter(settings: Settings, offset: int) -> DeadLetter:
    """Note that nobody need look at it again; InputError if it was put back or dismissed before."""
    async with _deciding(settings, offset) as (found, producer), producer.transaction():
        headers = [(DISMISSED_HEADER, str(offset).encode())]
        topic = Names(settings.topic_prefix).deadletters
        await producer.send_and_wait(topic, b"null", key=found.letter.topic.encode(), headers=headers)
    return found.letter


class OpenLetters:
    """How many dead letters somebody is still to look at, by topic; each `count` reads only what is new."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._letters: dict[int, Found] = {}
        self._next = 0

    async def count(self) -> Counter[str]:
        """The numbers as they are now."""
        self._next = await _follow(self._settings, self._letters, self._next)
        # Only where each came from is needed from here on.
        self._letters = {
            offset: replace(found, letter=msgspec.structs.replace(found.letter, key=None, value=None))
            for offset, found in self._letters.items()
            if found.open
        }
        return Counter(found.letter.topic for found in self._letters.values())


@asynccontextmanager
async def _deciding(settings: Settings, offset: int) -> AsyncIterator[tuple[Found, AIOKafkaProducer]]:
    # One id for all: who decides at the same moment is fenced, so a record never goes back twice.
    producer = make_producer(settings, transactional_id=f"{settings.topic_prefix}deadletters.replay")
    try:
        async with _reaching(settings):
            await producer.start()
            found = await find_deadletter(settings, offset)
            if found.replayed:
                raise InputError(f"offset {offset}: was put back before; look for what became of it instead")
            if found.dismissed:
                raise InputError(f"offset {offset}: was dismissed before; publish the record anew if it is wanted")
            try:
                yield found, producer
            except (KafkaError, IllegalOperation, AssertionError):
                # What ended the producer says more than what it answers from then on.
                ending = ending_of(producer)
                if ending is None:
                    raise
                raise ending from None
    finally:
        await stop_producer(producer)


@asynccontextmanager
async def _reaching(settings: Settings) -> AsyncIterator[None]:
    try:
        yield
    except FENCED as error:
        raise FencedError("another command decides about a dead letter at this moment: run this one again") from error
    except (KafkaError, OSError, TimeoutError) as error:
        raise UnavailableError(
            f"no dead letters can be read at BROADCAST_KAFKA_BOOTSTRAP = {settings.kafka_bootstrap} ({error!r}); "
            f"start the broker, correct the address, or run `broadcast topics create`"
        ) from error


async def _follow(settings: Settings, letters: dict[int, Found], since: int) -> int:
    """Bring `letters` up to date with what came from offset `since` on, and with what is deleted; the offset after."""
    partition = TopicPartition(Names(settings.topic_prefix).deadletters, 0)
    consumer = make_consumer(settings, auto_offset_reset="earliest")
    consumer.assign([partition])
    try:
        await consumer.start()
        begin = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        if end < since:  # Kafka's data is not what it was
            letters.clear()
            since = begin
        for offset in [offset for offset in letters if offset < begin]:
            del letters[offset]
        consumer.seek(partition, max(begin, since))
        while (at := await asyncio.wait_for(consumer.position(partition), READ_BUDGET_SECONDS)) < end:
            for records in (await consumer.getmany(partition, timeout_ms=200)).values():
                for record in records:
                    _apply(letters, record)
    finally:
        await consumer.stop()
    return int(at)


def _apply(letters: dict[int, Found], record: Any) -> None:
    headers = dict(record.headers)
    for header in (REPLAYED_HEADER, DISMISSED_HEADER):
        if header in headers:
            mark = headers[header] or b""
            known = letters.get(int(mark)) if mark.isdigit() else None
            if known is not None:
                replayed = known.replayed or header == REPLAYED_HEADER
                dismissed = known.dismissed or header == DISMISSED_HEADER
                letters[known.offset] = replace(known, replayed=replayed, dismissed=dismissed)
            return
    value = record.value or b""
    try:
        letter = _decoder.decode(value)
    except (msgspec.MsgspecError, RecursionError) as error:
        letter = DeadLetter(record.topic, 0, record.offset, "", f"not a dead letter: {error}", 0, value=value)
    letters[record.offset] = Found(record.offset, letter)
