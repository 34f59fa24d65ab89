"""Jobs put together from pieces read as the struct, every field of it, for any recipient."""

from uuid import UUID

import msgspec
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from broadcast.alerts.jobs import Columns, fill_job_batches, find_unreadable
from schemas.job import Job

NOW = 1_700_000_000_000
PARTITIONS = (4, 3)

ids = st.integers(min_value=1, max_value=2**63 - 1)
numbers = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)
recipients = st.lists(
    st.tuples(ids, numbers, st.integers(0, 12), st.sampled_from((-1, 0, 1))), max_size=60, unique_by=lambda one: one[0]
)


def make_batch(size: int = 512 * 1024) -> BatchBuilder:
    return BatchBuilder(size, 0, is_transactional=1)


def records_of(batch: BatchBuilder) -> list[tuple[bytes, bytes, int]]:
    records = MemoryRecords(bytes(batch._builder.build()))
    return [(record.key, record.value, record.timestamp) for part in iter(records.next_batch, None) for record in part]


def columns_of(rows: list[tuple[int, str, int, int]]) -> Columns:
    ids, msisdns, variants, routes = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Columns(ids, msisdns, variants, routes)


@given(alert_id=st.uuids(), rows=recipients)
def test_every_recipient_with_a_route_has_one_job_in_its_partition(
    alert_id: UUID, rows: list[tuple[int, str, int, int]]
) -> None:
    batches, left_out = fill_job_batches(make_batch, alert_id, columns_of(rows), PARTITIONS, now=NOW)
    found = {}
    for route, partition, batch in batches:
        for key, value, timestamp in records_of(batch):
            job = msgspec.json.decode(value, type=Job)
            assert value == msgspec.json.encode(job)
            assert key == str(job.recipient_id).encode()
            assert job.recipient_id % PARTITIONS[route] == partition
            assert timestamp == NOW
            assert job.recipient_id not in found
            found[job.recipient_id] = (job, route)
    assert left_out == [place for place, row in enumerate(rows) if row[3] < 0]
    assert found == {
        recipient_id: (Job(str(alert_id), recipient_id, msisdn, variant), route)
        for recipient_id, msisdn, variant, route in rows
        if route >= 0
    }


def test_a_full_batch_is_followed_by_another_and_no_job_is_lost() -> None:
    rows = [(number, "+491700000000", 0, 0) for number in range(1, 401)]
    batches, _ = fill_job_batches(lambda: make_batch(2_000), UUID(int=1), columns_of(rows), PARTITIONS, now=NOW)
    assert len(batches) > 2 * PARTITIONS[0]
    found = [int(key) for _, _, batch in batches for key, _, _ in records_of(batch)]
    assert sorted(found) == list(range(1, 401))
    for partition in range(4):
        keys = [int(key) for _, number, batch in batches if number == partition for key, _, _ in records_of(batch)]
        assert keys == sorted(keys)


@given(st.lists(st.one_of(numbers, st.text(max_size=20), st.text("+,0123456789", max_size=18)), max_size=20))
def test_only_e164_is_readable(msisdns: list[str]) -> None:
    unreadable = find_unreadable(msisdns)
    for place, msisdn in enumerate(msisdns):
        digits = msisdn[1:]
        e164 = msisdn[:1] == "+" and digits.isascii() and digits.isdigit() and 1 <= len(digits) <= 15
        assert (place in unreadable) is not e164


def test_a_quote_cannot_end_a_value() -> None:
    assert find_unreadable(["+491", '+49","attempt":9,"text":"']) == {1}
