"""Expansions as records, and a chunk as jobs and failed statuses, without a server."""

from uuid import UUID

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder

from broadcast.alerts.expanding import (
    NO_NUMBER,
    UNREADABLE_NUMBER,
    UNROUTED,
    ChunkEncoder,
    chunk_records,
    read_expansion,
)
from broadcast.audience import ChunkRows
from broadcast.cells.numbers import country_prefix
from broadcast.errors import PoisonError
from broadcast.pii import number_hash
from broadcast.routing import Account, Route
from schemas.expansion import Expansion
from schemas.lane import Lane
from schemas.status import Outcome
from schemas.topics import Names

EXPANSION = Expansion(
    kind="audience",
    alert_id=UUID(int=7),
    lane=Lane.PRIORITY,
    status="Actual",
    groups=("river",),
    expires_at=1,
    languages={"en": 0, "de": 1},
)
KEY = b"key"
NOW = 1_700_000_000_000


def route(name: str, prefix: str) -> Route:
    account = Account(name=name, host="h", port=1, system_id="s")
    return Route(name=name, prefixes=(prefix,), partitions=2, accounts=(account,))


def make_batch() -> BatchBuilder:
    return BatchBuilder(100_000, 0, is_transactional=1)


def test_an_expansion_is_read_as_it_was_written() -> None:
    assert read_expansion(EXPANSION.model_dump_json().encode()) == EXPANSION


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "expansion: "),
        (b"[]", "expansion: "),
        (EXPANSION.model_copy(update={"chunk": -1}).model_dump_json().encode(), "chunk: "),
        (EXPANSION.model_copy(update={"status": "Real"}).model_dump_json().encode(), "status: 'Real' is none of CAP's"),
    ],
)
def test_what_is_no_expansion_names_its_field(value: bytes | None, message: str) -> None:
    with pytest.raises(PoisonError) as caught:
        read_expansion(value)
    assert str(caught.value).startswith(message)


def test_a_chunk_has_one_record_and_all_have_one_key() -> None:
    records = chunk_records(Names("t."), EXPANSION.model_copy(update={"chunks": 3}))
    assert {(record.topic, record.key) for record in records} == {
        ("t.expansions.priority.v1", str(EXPANSION.alert_id).encode())
    }
    chunks = [read_expansion(record.value) for record in records]
    assert [(part.kind, part.chunk, part.chunks) for part in chunks] == [("chunk", n, 3) for n in range(3)]
    assert chunk_records(Names("t."), EXPANSION) == []


def test_whoever_has_no_job_has_a_failed_status_with_the_reason() -> None:
    rows = ChunkRows([1, 2, 3], ["+491", "+331", "0491"], ["en", "de", None], [4])
    jobs, statuses = ChunkEncoder([route("de", "+49")], KEY).encode(EXPANSION, rows, make_batch, now=NOW)
    assert [(index, partition, batch.record_count()) for index, partition, batch in jobs] == [(0, 1, 1)]
    assert [(status.recipient_id, status.reason) for status in statuses] == [
        (4, NO_NUMBER),
        (2, UNROUTED.format(prefix="+33", status=EXPANSION.status)),
        (3, UNREADABLE_NUMBER),
    ]
    assert [status.number_hash for status in statuses] == [0, number_hash(KEY, b"+331"), number_hash(KEY, b"0491")]
    assert {(status.outcome, status.attempt, status.segment, status.at) for status in statuses} == {
        (Outcome.FAILED, 1, 0, NOW)
    }


def test_numbers_without_a_route_are_named_by_the_prefix_of_their_country() -> None:
    numbers = ["+33612345678", "+12025550123", "+3538123456", "+999123", "+1"]
    assert [country_prefix(number) for number in numbers] == ["+33", "+1", "+353", "+999", "+1"]
