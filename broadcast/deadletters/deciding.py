"""Deciding about dead letters: putting a record back on its topic, or dismissing it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer

from broadcast.deadletters.letters import DISMISSED_HEADER, REPLAYED_HEADER, Found
from broadcast.deadletters.reading import find_deadletter, reaching_letters
from broadcast.deadletters.writing import REPLAY_HEADER
from broadcast.errors import InputError
from broadcast.kafka.clients import ENDED, make_producer
from broadcast.kafka.events import ending_of, stop_producer
from broadcast.settings import Settings
from schemas.deadletter import DeadLetter
from schemas.topics import Names


async def replay_deadletter(settings: Settings, offset: int) -> DeadLetter:
    """Put the record back on its topic and note that, in one transaction; a control record in none.

    InputError if it was put back before, or if its topic is none of the catalogue's.
    """
    names = Names(settings.topic_prefix)
    topic = names.deadletters
    async with deciding_letter(settings, offset) as (found, producer):
        letter = found.letter
        if not names.has(letter.topic):
            raise InputError(
                f"offset {offset}: topic {letter.topic!r} is none of this system's; dismiss the letter, and find out"
                " who wrote it"
            )
        if letter.topic == topic:
            raise InputError(f"offset {offset}: is not a dead letter, so there is nothing to put back")
        if letter.truncated:
            raise InputError(f"offset {offset}: only its beginning was kept; publish the record anew")
        mark = str(offset).encode()
        if letter.topic == names.control:
            # Nothing is written there in a transaction (docs/adr/0012); twice the same says no more than once.
            async with _idempotent_producer(settings) as idempotent:
                await _put_back(idempotent, letter, mark)
        async with producer.transaction():
            if letter.topic != names.control:
                await _put_back(producer, letter, mark)
            await producer.send_and_wait(topic, b"null", key=letter.topic.encode(), headers=[(REPLAYED_HEADER, mark)])
    return letter


async def _put_back(producer: AIOKafkaProducer, letter: DeadLetter, mark: bytes) -> None:
    await producer.send_and_wait(letter.topic, letter.value, key=letter.key or b"", headers=[(REPLAY_HEADER, mark)])


@asynccontextmanager
async def _idempotent_producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = make_producer(settings)
    try:
        await producer.start()
        yield producer
    finally:
        await stop_producer(producer)


async def dismiss_deadletter(settings: Settings, offset: int) -> DeadLetter:
    """Note that nobody need look at it again; InputError if it was put back or dismissed before."""
    async with deciding_letter(settings, offset) as (found, producer), producer.transaction():
        headers = [(DISMISSED_HEADER, str(offset).encode())]
        topic = Names(settings.topic_prefix).deadletters
        await producer.send_and_wait(topic, b"null", key=found.letter.topic.encode(), headers=headers)
    return found.letter


@asynccontextmanager
async def deciding_letter(settings: Settings, offset: int) -> AsyncIterator[tuple[Found, AIOKafkaProducer]]:
    """An open dead letter, and a producer to decide about it with; whoever began to decide before is fenced."""
    # One id for all, so a record never goes back twice.
    producer = make_producer(settings, transactional_id=f"{settings.topic_prefix}deadletters.replay")
    try:
        async with reaching_letters(settings):
            await producer.start()
            found = await find_deadletter(settings, offset)
            if found.replayed:
                raise InputError(f"offset {offset}: was put back before; look for what became of it instead")
            if found.dismissed:
                raise InputError(f"offset {offset}: was dismissed before; publish the record anew if it is wanted")
            try:
                yield found, producer
            except ENDED:
                # What ended the producer says more than what it answers from then on.
                ending = ending_of(producer)
                if ending is None:
                    raise
                raise ending from None
    finally:
        await stop_producer(producer)
