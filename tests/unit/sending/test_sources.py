"""Jobs read ahead: batches, runs, poison in its turn."""

from dataclasses import replace

import msgspec
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from broadcast.kafka.position import Position, fresh_position
from broadcast.sending.progress import Progress
from broadcast.sending.sources import READ_AHEAD, Source, decode_jobs
from schemas.bounds import YEAR_10000
from schemas.job import Job
from schemas.lane import Lane

PARTITION = TopicPartition("jobs", 3)


def record(offset: int, value: bytes | None) -> "ConsumerRecord[bytes, bytes]":
    return ConsumerRecord("jobs", 3, offset, 1_000 + offset, 0, b"k", value, None, 1, 1, ())


A, B = "a" * 36, "b" * 36


def job(recipient: int, alert: str = A, *, variant: int = 0, attempt: int = 1, due_at: int = 0) -> bytes:
    return msgspec.json.encode(Job(alert, recipient, f"+{recipient}", variant, attempt, due_at=due_at))


def source(found: Position | None = None) -> Source[object]:
    return Source(PARTITION, Lane.ROUTINE, Progress(found or fresh_position(0), "me"))


def test_consecutive_jobs_of_one_text_are_one_run() -> None:
    built = source()
    built.feed([record(0, job(1)), record(1, job(2)), record(5, job(3, variant=1)), record(6, job(4, B))])
    assert [(run.alert_id, run.variant, run.offsets) for run in built.runs] == [
        (A, 0, [0, 1]),
        (A, 1, [5]),
        (B, 0, [6]),
    ]
    assert built.runs[0].below(1) == 1
    jobs, offsets = built.cut(1)
    assert ([found.recipient_id for found in jobs], offsets) == ([1], [0])
    assert built.runs[0].first == 1
    built.cut(1)
    built.put_back(jobs, offsets)
    assert [run.first for run in built.runs] == [0, 5, 6]


def test_a_delayed_head_holds_up_those_behind_it() -> None:
    built = source()
    built.feed([record(0, job(1, due_at=10)), record(1, job(2, due_at=30)), record(2, job(3, due_at=20))])
    [run] = built.runs
    assert [run.due(3, now) for now in (9, 10, 25, 30)] == [0, 1, 1, 3]


def test_reading_ahead_stops() -> None:
    built = source()
    assert built.wants_more
    built.feed([record(offset, job(offset)) for offset in range(READ_AHEAD)])
    assert not built.wants_more
    built.cut(READ_AHEAD)
    assert built.wants_more
    assert built.empty


def test_what_has_an_outcome_is_left_out_after_a_restart() -> None:
    built = source(Position(2, 7, (2, 5), 71, "me"))
    built.feed([record(offset, job(offset)) for offset in range(2, 10)])
    assert [found.recipient_id for run in built.runs for found in run.jobs] == [2, 5, 7, 8, 9]


POISON = (
    b"",
    b"nonsense",
    b"{}",
    b"[]",
    b'{"alert_id":"a"}',
    b'{"alert_id":1,"recipient_id":2,"msisdn":"+3"}',
    job(1, "no alert"),
    job(-1),
    job(2**63),
    job(1, attempt=0),
    job(1, attempt=40_000),
    None,
)
TWO_IN_ONE = b",".join([job(1), job(2)])


@given(st.lists(st.sampled_from([job(1), job(2, B), *POISON, TWO_IN_ONE]), max_size=12))
def test_poison_is_found_wherever_it_stands(values: list[bytes | None]) -> None:
    jobs, readable, poison = decode_jobs([record(offset, value) for offset, value in enumerate(values)])
    rejected = [bad.record.offset for bad in poison]
    offsets = [good.offset for good in readable]
    poisonous = {*POISON, TWO_IN_ONE}
    assert rejected == [offset for offset, value in enumerate(values) if value in poisonous]
    assert offsets == [offset for offset, value in enumerate(values) if value not in poisonous]
    assert len(jobs) == len(offsets)


def test_poison_waits_for_its_turn() -> None:
    built = source()
    built.feed([record(0, job(1)), record(1, b"bad"), record(2, job(2)), record(3, b"worse")])
    assert built.cut_poison() is None
    built.cut(1)
    found = built.cut_poison()
    assert found is not None
    assert found.record.offset == 1
    assert built.cut_poison() is None
    built.cut(1)
    found = built.cut_poison()
    assert found is not None
    assert found.record.offset == 3
    assert built.empty


def test_no_job_waits_longer_than_its_topics_delay_whatever_it_says() -> None:
    delayed: Source[object] = Source(PARTITION, Lane.ROUTINE, Progress(fresh_position(0), "me"), longest_wait_ms=6_000)
    delayed.feed([record(0, job(1, due_at=YEAR_10000 - 1)), record(1, b"bad"), record(2, job(2, due_at=5_000))])
    [run] = delayed.runs
    assert [found.due_at for found in run.jobs] == [1_000 + 6_000, 5_000]


def test_no_job_waits_longer_because_its_record_is_dated_in_the_future() -> None:
    """A producer sets its records' timestamps, and all behind the job would wait for it."""
    now = 50_000
    delayed: Source[object] = Source(
        PARTITION, Lane.ROUTINE, Progress(fresh_position(0), "me"), longest_wait_ms=6_000, now_ms=lambda: now
    )
    dated = replace(record(0, job(1, due_at=YEAR_10000 - 1)), timestamp=YEAR_10000 - 1)
    delayed.feed([dated, record(1, job(2, due_at=5_000))])
    [run] = delayed.runs
    assert [found.due_at for found in run.jobs] == [now + 6_000, 5_000]
