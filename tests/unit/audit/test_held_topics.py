"""Which partitions are held by an open transaction, and what the alarm says."""

from datetime import UTC, datetime

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from broadcast.audit.watch.held_topics import HELD_SECONDS, PARTITIONS_MAX, Held, HeldTopics, describe
from broadcast.kafka.open_transactions import LogEnd, Writer

FIRST, SECOND = TopicPartition("statuses.v1", 0), TopicPartition("statuses.v1", 1)
LOOK = st.tuples(st.floats(0.1, 10), st.integers(0, 1), st.integers(0, 2))
"""Seconds since the look before, how far the last stable offset went, how many records are beyond it."""


@given(st.lists(LOOK, min_size=1, max_size=30))
def test_a_partition_is_held_when_its_stable_offset_stood_before_the_end_at_each_look(
    looks: list[tuple[float, int, int]],
) -> None:
    watch, now, stable, since = HeldTopics(), 0.0, 0, None
    for seconds, moved, waiting in looks:
        now, stable = now + seconds, stable + moved
        if not waiting:
            since = None
        elif since is None or moved:
            since = now
        held = watch.look({FIRST: LogEnd(stable, stable + waiting), SECOND: LogEnd(7, 7)}, now)
        wanted = since is not None and now - since >= HELD_SECONDS
        assert held == ([Held(FIRST, stable, waiting, now - since)] if wanted and since is not None else [])


def test_a_new_sweeper_does_not_end_what_it_has_not_looked_at_for_long_enough() -> None:
    watch = HeldTopics()
    assert not watch.knows(0.0)
    watch.look({}, 5.0)
    assert [watch.knows(5.0), watch.knows(4.9 + HELD_SECONDS), watch.knows(5.0 + HELD_SECONDS)] == [False, False, True]


def test_an_alarm_names_a_few_partitions_and_counts_the_others() -> None:
    held = [Held(TopicPartition("jobs", number), 5, 1_000, 60.0) for number in range(PARTITIONS_MAX + 2)]
    writers = {held[0].partition: Writer(4, "evil"), held[1].partition: Writer(5, None)}
    detail = describe(held, writers, datetime(2026, 1, 1, tzinfo=UTC))
    assert "partition 0 at offset 5 since 2025-12-31T23:59:00+00:00, 1,000 records wait" in detail
    assert "(producer 4, transactional id 'evil')" in detail
    assert "(producer 5)" in detail
    assert "(a producer that is not known)" in detail
    assert "; 2 more partitions. " in detail
