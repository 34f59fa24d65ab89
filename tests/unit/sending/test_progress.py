"""A sender's progress over crashes: nobody lost, nobody doubled unmarked, marks only below the horizon it found."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcast.kafka.position import Position, fresh_position, read_position, write_metadata
from broadcast.sending.progress import LEAD_LOWEST, Progress

Offset = int


@dataclass
class Smsc:
    """What was written: how often, and how often marked."""

    writes: dict[Offset, list[bool]] = field(default_factory=dict)

    def write(self, offset: Offset, marked: bool) -> None:
        self.writes.setdefault(offset, []).append(marked)


class Sender:
    """One incarnation over one partition, with a beat that may be under way."""

    def __init__(self, found: Position, log: list[Offset], smsc: Smsc, name: str, log_end: int) -> None:
        self.progress: Progress[Offset] = Progress(found, name)
        self.found, self.smsc = found, smsc
        wanted = [offset for offset in log if offset >= found.offset]
        lacks = self.progress.lacking(wanted) if wanted else []
        self.queue = wanted if lacks is None else [o for o, lack in zip(wanted, lacks, strict=True) if lack]
        self.log_end = log_end
        self.flying: list[Offset] = []
        self.under_way: tuple[Position, list[Offset]] | None = None
        self.statuses: list[Offset] = []
        self.marked_above = False

    def begin_beat(self) -> None:
        if not self.queue:
            self.progress.skip_to(self.log_end)
        self.under_way = (self.progress.propose(), self.statuses)
        self.statuses = []

    def write(self, count: int) -> None:
        taken = [offset for offset in self.queue[:count] if offset < self.progress.allowed]
        if not taken:
            return
        self.queue = self.queue[len(taken) :]
        for offset in taken:
            marked = self.progress.marked(offset)
            self.marked_above |= marked and offset >= self.found.horizon
            self.smsc.write(offset, marked)
        self.progress.take(taken, taken)
        self.flying += taken

    def answer(self, chosen: random.Random) -> None:
        chosen.shuffle(self.flying)
        for offset in [self.flying.pop() for _ in range(chosen.randint(0, len(self.flying)))]:
            assert self.progress.settle(offset) == offset
            assert self.progress.settle(offset) is None
            self.statuses.append(offset)


@settings(max_examples=300)
@given(st.integers(0, 2**32), st.sampled_from([10, 100, 1_000, 3_000]), st.integers(0, 6), st.booleans())
def test_any_order_of_answers_beats_and_crashes(seed: int, jobs: int, crashes: int, clean_stops: bool) -> None:
    chosen = random.Random(seed)
    log, offset = [], 0
    for _ in range(jobs):
        offset += chosen.choice([1, 1, 1, 1, 2, 5])
        log.append(offset)
    log_end = offset + chosen.choice([1, 2])
    smsc = Smsc()
    committed = fresh_position(0)
    outcomes: list[Offset] = []
    seen = 0
    for life in range(crashes + 1):
        last = life == crashes
        seen = len(log) if last else chosen.randint(seen, len(log))
        visible = log[:seen]
        end = log_end if last else (visible[-1] + 1 if visible else 0)
        found = read_position(committed.offset, write_metadata(committed))
        sender = Sender(found, visible, smsc, f"life-{life}", end)
        sender.progress.close_marks(end)
        sender.begin_beat()
        steps, length = 0, chosen.choice([1, 3, 10, 30])
        while last or steps < length:
            steps += 1
            assert steps < 5_000, "it comes to an end"
            if sender.under_way is not None and (last or chosen.random() < 0.5):
                committed, statuses = sender.under_way
                outcomes += statuses
                sender.progress.confirm()
                sender.under_way = None
            sender.write(chosen.choice([1, 40, 400]))
            if last or chosen.random() < 0.3:
                sender.answer(chosen)
            if sender.under_way is None:
                sender.begin_beat()
            if (
                last
                and not sender.queue
                and not sender.flying
                and not sender.statuses
                and sender.progress.end >= log_end
            ):
                break
        assert not sender.marked_above
        if not last and clean_stops and chosen.random() < 0.5:
            if sender.under_way is not None:
                outcomes += sender.under_way[1]
                sender.progress.confirm()
            for offset in sender.flying:
                sender.progress.settle(offset)
            outcomes += sender.statuses + sender.flying
            committed = sender.progress.release()
            assert committed.owner == ""
        elif not last and sender.under_way is not None and chosen.random() < 0.5:
            # The broker has the last beat, though nobody heard of it.
            committed, statuses = sender.under_way
            outcomes += statuses
    if sender.under_way is not None:
        committed, statuses = sender.under_way
        outcomes += statuses
    assert sorted(outcomes) == log, "each job has exactly one outcome"
    assert set(smsc.writes) == set(log), "nobody is lost"
    for marks in smsc.writes.values():
        assert all(marks[1:]), "whatever was written twice is marked"
    assert committed.offset == log_end
    assert committed.pending == ()


def test_a_clean_stop_leaves_nothing_to_mark() -> None:
    progress: Progress[str] = Progress(fresh_position(10), "me")
    progress.propose()
    progress.confirm()
    progress.take([10, 11, 12], ["a", "b", "c"])
    for offset in (12, 10, 11):
        progress.settle(offset)
    assert progress.release() == Position(13, 13, (), 13, "")
    following: Progress[str] = Progress(progress.release(), "you")
    assert not following.marked(13)
    assert not following.recovering


def test_a_partition_with_an_unanswered_submit_is_not_released() -> None:
    progress: Progress[Offset] = Progress(fresh_position(0), "a")
    progress.propose()
    progress.confirm()
    progress.take([0, 1], [0, 1])
    progress.settle(0)
    with pytest.raises(ValueError, match="1 jobs are submitted and unanswered"):
        progress.release()
    progress.settle(1)
    assert progress.release().owner == ""


def test_the_found_horizon_is_kept_while_a_job_below_it_lacks_an_outcome_even_at_a_clean_stop() -> None:
    progress: Progress[str] = Progress(Position(5, 5, (), 500, "other"), "me")
    progress.close_marks(400)
    assert progress.propose().horizon == 500
    progress.confirm()
    progress.take([5, 6], ["a", "b"])
    progress.settle(5)
    progress.settle(6)
    assert progress.release().horizon == 500, "jobs 7 to 399 were not read yet"
    progress.skip_to(400)
    assert not progress.recovering
    assert progress.release() == Position(400, 400, (), 400, "")


def test_jobs_that_came_after_the_takeover_are_not_marked() -> None:
    progress: Progress[str] = Progress(Position(5, 5, (), 500, "other"), "me")
    assert progress.marked(450)
    progress.close_marks(400)
    assert progress.marked(399)
    assert not progress.marked(400)


def test_nothing_may_be_written_before_the_first_beat_has_succeeded() -> None:
    progress: Progress[str] = Progress(Position(5, 9, (5, 8), 500, "other"), "me")
    assert progress.allowed == 5
    progress.propose()
    assert progress.allowed == 5
    progress.confirm()
    assert progress.allowed >= 9 + LEAD_LOWEST


def test_a_lower_horizon_under_way_already_binds() -> None:
    progress: Progress[int] = Progress(fresh_position(0), "me")
    progress.propose()
    progress.confirm()
    offsets = list(range(60))
    progress.take(offsets, offsets)
    progress.propose()
    progress.confirm()
    high = progress.allowed
    for _ in range(10):
        horizon = progress.propose().horizon
        assert progress.allowed == min(high, horizon)
        progress.confirm()
        high = progress.allowed
    assert high == 60 + LEAD_LOWEST


def test_offsets_that_the_log_does_not_have_count_as_done() -> None:
    progress: Progress[str] = Progress(Position(5, 20, (5, 9, 12), 84, "me"), "me")
    assert progress.lacking([5, 6, 12, 19]) == [True, False, True, False]
    progress.skip_to(20)
    assert sorted(progress.pending) == [5, 12]


def test_what_could_not_be_written_while_later_jobs_were_lacks_an_outcome() -> None:
    progress: Progress[str] = Progress(fresh_position(0), "me")
    progress.propose()
    progress.confirm()
    progress.take([1, 3], ["a", "b"])
    progress.leave([0, 2])
    progress.settle(1)
    progress.settle(3)
    assert progress.propose().pending == (0, 2)
    assert progress.unanswered() == []
