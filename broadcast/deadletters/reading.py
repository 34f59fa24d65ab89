"""Reading dead letters: all that are kept, what was decided about each, and how many are open."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from broadcast.errors import FencedError, InputError, UnavailableError
from broadcast.kafka.clients import make_consumer
from broadcast.kafka.events import FENCED
from broadcast.settings import Settings
from schemas.deadletter import DeadLetter
from schemas.topics import Names

REPLAYED_HEADER = "tocsin_replay_of"
"""On the note that a replay leaves among the dead letters: the offset of the one that was put back."""

DISMISSED_HEADER = "tocsin_dismissal_of"
"""On the note that a dismissal leaves: the offset of the one that nobody need look at again."""

READ_BUDGET_SECONDS = 10.0
"""For the next batch of dead letters: far above a broker's answer, below a person's patience."""

OFFSET_DIGITS = 19
"""Of the largest offset; a longer number in a header is no offset, and Python refuses to read one of 5,000 digits."""

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


async def read_deadletters(settings: Settings) -> list[Found]:
    """Every dead letter that is kept, oldest first, those that were replayed or dismissed marked so.

    UnavailableError, here and below, when Kafka or the topic of dead letters is away.
    """
    letters: dict[int, Found] = {}
    async with reaching_letters(settings):
        await follow_letters(settings, letters, 0)
    return list(letters.values())


async def find_deadletter(settings: Settings, offset: int) -> Found:
    """The dead letter at an offset; InputError when there is none."""
    for found in await read_deadletters(settings):
        if found.offset == offset:
            return found
    raise InputError(
        f"offset {offset}: no dead letter is kept there; `broadcast deadletters list` shows those that are"
    )


class OpenLetters:
    """How many dead letters somebody is still to look at, by topic; each `count` reads only what is new."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._letters: dict[int, Found] = {}
        self._next = 0

    async def count(self) -> Counter[str]:
        """The numbers as they are now."""
        self._next = await follow_letters(self._settings, self._letters, self._next)
        # Only where each came from is needed from here on.
        self._letters = {
            offset: replace(found, letter=msgspec.structs.replace(found.letter, key=None, value=None))
            for offset, found in self._letters.items()
            if found.open
        }
        return Counter(found.letter.topic for found in self._letters.values())


@asynccontextmanager
async def reaching_letters(settings: Settings) -> AsyncIterator[None]:
    """Turn what Kafka clients raise within into errors that say what to do."""
    try:
        yield
    except FENCED as error:
        raise FencedError("another command decides about a dead letter at this moment: run this one again") from error
    except (KafkaError, OSError, TimeoutError) as error:
        raise UnavailableError(
            f"no dead letters can be read at BROADCAST_KAFKA_BOOTSTRAP = {settings.kafka_bootstrap} ({error!r}); "
            f"start the broker, correct the address, or run `broadcast topics create`"
        ) from error


async def follow_letters(settings: Settings, letters: dict[int, Found], since: int) -> int:
    """Bring `letters` up to date with what came from offset `since` on; returns the offset after.

    Letters that Kafka has deleted leave it.
    """
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
            known = letters.get(int(mark)) if mark.isdigit() and len(mark) <= OFFSET_DIGITS else None
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
