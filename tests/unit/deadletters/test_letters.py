"""What stands on the topic of dead letters, whatever anybody wrote on it, and what is counted of it."""

from collections import Counter
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.deadletters.letters import DISMISSED_HEADER, REPLAYED_HEADER, Found, Marks, is_note, read_letter
from broadcast.deadletters.open_letters import OTHER_TOPICS, TOPICS_MAX, LetterCounts
from schemas.deadletter import DeadLetter


def letter(offset: int, topic: str = "jobs", headers: Mapping[str, bytes | None] | None = None) -> Any:
    value = msgspec.json.encode(DeadLetter(topic, 0, 5, "sender", "no job", 0))
    return SimpleNamespace(topic="deadletters", offset=offset, headers=tuple((headers or {}).items()), value=value)


def read_all(records: list[Any]) -> list[Found]:
    marks = Marks(records[0].offset, records[-1].offset + 1)
    for record in records:
        marks.note(record)
    return [read_letter(record, marks) for record in records if not is_note(record)]


@pytest.mark.parametrize("header", [REPLAYED_HEADER, DISMISSED_HEADER])
@pytest.mark.parametrize("mark", [b"9" * 5_000, b"\xff\xfe", b"-1", b"", None, b"6", b"8", b"9", b"10"])
def test_a_note_about_no_letter_changes_nothing(header: str, mark: bytes | None) -> None:
    records = [letter(7), letter(9, headers={header: mark}), letter(10)]
    assert [(found.offset, found.replayed, found.dismissed) for found in read_all(records)] == [
        (7, False, False),
        (10, False, False),
    ]


def test_a_note_about_a_letter_closes_it() -> None:
    first, second = read_all([letter(7), letter(8), letter(9, headers={REPLAYED_HEADER: b"7", DISMISSED_HEADER: b"7"})])
    assert (first.replayed, first.dismissed) == (True, True)
    assert (second.replayed, second.dismissed) == (False, False)


def test_what_is_no_letter_is_shown_all_the_same() -> None:
    (found,) = read_all([SimpleNamespace(topic="deadletters", offset=3, headers=(), value=b"[]")])
    assert found.letter.error.startswith("not a dead letter: ")
    assert found.letter.value == b"[]"


RECORDS = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from(["a", "b", "c"]), st.none() | st.integers(0, 60)), max_size=40
)


@given(steps=RECORDS, deleted=st.integers(0, 60), reads=st.integers(1, 5))
def test_the_counts_are_those_of_all_letters_that_are_kept_and_open(
    steps: list[tuple[int, str, int | None]], deleted: int, reads: int
) -> None:
    records, offset = [], 0
    for gap, topic, mark in steps:
        offset += gap
        note = None if mark is None else {DISMISSED_HEADER: b"%d" % mark}
        records.append(letter(offset, topic, note))
    counts, end = LetterCounts(), offset + 1
    counts.begin_at(0, end)
    for record in records:
        counts.apply(record)
        counts.next = record.offset + 1
    for begin in sorted({0, deleted // reads, min(deleted, end)}):
        counts.begin_at(begin, end)
        found = [one for one in read_all(records) if one.offset >= begin] if records else []
        assert counts.by_topic == Counter(one.letter.topic for one in found if not one.dismissed)


def test_a_log_that_was_put_back_is_counted_from_its_beginning() -> None:
    counts = LetterCounts()
    counts.begin_at(0, 3)
    counts.apply(letter(2))
    counts.next = 3
    counts.begin_at(0, 2)
    assert (counts.next, counts.by_topic) == (0, Counter())


def test_topics_without_end_are_counted_together() -> None:
    counts = LetterCounts()
    counts.begin_at(0, TOPICS_MAX + 50)
    for offset in range(TOPICS_MAX + 50):
        counts.apply(letter(offset, f"topic {offset}"))
    assert len(counts.by_topic) == TOPICS_MAX + 1
    assert counts.by_topic[OTHER_TOPICS] == 50
