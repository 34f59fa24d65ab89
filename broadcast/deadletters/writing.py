"""Writing dead letters: the one way in which every stage puts a record aside."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import structlog

from broadcast import metrics
from broadcast.clock import epoch_milliseconds
from schemas.deadletter import make_letter

REPLAY_HEADER = "tocsin_replayed_from"
"""On a replayed record: the offset of its dead letter. A record that fails again says so in its new dead letter."""

_encode = msgspec.json.Encoder().encode

log = structlog.get_logger(__name__)


class SourceRecord(Protocol):
    """What a dead letter needs of a record that was read from Kafka, whichever client read it."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


def encode_letter(record: SourceRecord, *, topic: str, partition: int, stage: str, error: str) -> tuple[bytes, bytes]:
    """Key and value of the dead letter for a record of this topic and partition.

    If the record was replayed, the error names the dead letter that it came from.
    """
    replayed_from = dict(record.headers or ()).get(REPLAY_HEADER)
    if replayed_from is not None:
        error = f"{error} (again, after the replay of {replayed_from.decode(errors='replace')})"
    letter = make_letter(
        topic=topic,
        partition=partition,
        offset=record.offset,
        stage=stage,
        error=error,
        at=epoch_milliseconds(),
        key=record.key,
        value=record.value,
    )
    return topic.encode(), _encode(letter)


def report_letter(*, topic: str, partition: int, offset: int, error: str) -> None:
    """Log and count one dead letter that was written."""
    log.warning("dead_letter_written", topic=topic, partition=partition, offset=offset, error=error)
    metrics.deadletters.labels(topic).inc()
