"""The crash that docs/sender.md works through: the same offsets, the same positions, the same marks."""

from pathlib import Path

import pytest

from broadcast.kafka.position import Position, read_position, write_metadata
from broadcast.sending.progress import Progress

PAGE = (Path(__file__).parents[3] / "docs/sender.md").read_text(encoding="utf-8")
A = "broadcast.sender.national.host-1"
B = "broadcast.sender.national.host-2"
NAMES = {A: "A", B: "B"}
LOG = range(1000, 1100)
LOG_END = 1101
"""The transaction that wrote the jobs takes one offset."""
WINDOW = 40
ANSWERED_LATE = {1003, 1011}
PENDING = (1003, 1011, *range(1030, 1040))


def commit(progress: Progress[int]) -> Position:
    """One successful beat; its position as the next sender reads it, and as the drawing shows it."""
    position = progress.propose()
    progress.confirm()
    shown = f"{len(position.pending)}" if position.pending else "-"
    row = f" {position.offset}  {position.end}  {shown:>4}  {position.horizon:>8}     {NAMES[position.owner]} "
    assert row.split() in [line.split()[-len(row.split()) :] for line in drawn()], f"not in the drawing: {row}"
    return read_position(position.offset, write_metadata(position))


def drawn() -> list[str]:
    """The lines of the drawing, without what stands right of the position."""
    lines = PAGE[PAGE.index("sender A (host-1)") :].split("```")[0].splitlines()
    return [line[:79].split("◄")[0].rstrip() for line in lines]


def write(progress: Progress[int], offsets: range | list[int]) -> list[int]:
    """The jobs written now, of which none may be at or above the horizon; those that are marked."""
    assert all(offset < progress.allowed for offset in offsets)
    progress.take(list(offsets), list(offsets))
    return [offset for offset in offsets if progress.marked(offset)]


def answer(progress: Progress[int], offsets: set[int] | range | list[int]) -> None:
    for offset in offsets:
        assert progress.settle(offset) == offset


def run_until_the_kill() -> tuple[Progress[int], Position]:
    """Sender A, killed before its third beat; the position of its second."""
    progress: Progress[int] = Progress(Position(1000, 1000, (), 1000), A)
    assert not progress.marks_open, "whoever was before released it"
    commit(progress)
    assert write(progress, range(1000, 1040)) == []
    answer(progress, set(range(1000, 1030)) - ANSWERED_LATE)
    committed = commit(progress)
    answer(progress, [1003, *range(1030, 1040)])
    assert write(progress, range(1040, 1060)) == []
    return progress, committed


def test_the_metadata_is_the_one_shown() -> None:
    _, committed = run_until_the_kill()
    assert committed == Position(1003, 1040, PENDING, 1160, A)
    metadata = write_metadata(committed)
    assert metadata == "1 37 157 YxdigAEA broadcast.sender.national.host-1"
    assert f"```\n{metadata}\n" in PAGE


def test_32_are_doubled_72_are_marked_and_nobody_is_left_out() -> None:
    _, found = run_until_the_kill()
    written_by_a = set(range(1000, 1060))
    progress: Progress[int] = Progress(found, B)
    assert progress.allowed == 1003, "nothing may be written before the first beat"
    commit(progress)
    read = [offset for offset in LOG if offset >= found.offset]
    lacks = progress.lacking(read)
    assert lacks is not None
    left = [offset for offset, lacking in zip(read, lacks, strict=True) if lacking]
    assert left == [*PENDING, *range(1040, 1100)]
    marked = write(progress, left[:WINDOW])
    assert left[WINDOW - 1] == 1067
    answer(progress, left[:WINDOW])
    commit(progress)
    marked += write(progress, left[WINDOW:])
    answer(progress, left[WINDOW:])
    progress.skip_to(LOG_END)
    commit(progress)
    assert marked == left
    assert len(marked) == 72
    assert len(written_by_a & set(left)) == 32
    assert (written_by_a - set(left)) | set(left) == set(LOG)
    assert progress.marked(1150), "before marks are closed"
    progress.close_marks(LOG_END)
    assert not progress.recovering
    assert write(progress, range(1101, 1151)) == []
    for number in (32, 72):
        assert f"{number} " in PAGE[PAGE.index("**What B sends.**") :]


def test_a_clean_stop_would_have_left_nothing_to_mark() -> None:
    progress, _ = run_until_the_kill()
    answer(progress, [1011, *range(1040, 1060)])
    released = progress.release()
    assert released == Position(1060, 1060, (), 1060, "")
    following: Progress[int] = Progress(released, B)
    assert not following.marks_open
    assert not following.marked(1060)


@pytest.mark.parametrize("horizon", [1064, 1160, 1188, 1206])
def test_each_horizon_is_explained_or_drawn(horizon: int) -> None:
    assert f" {horizon} " in PAGE
