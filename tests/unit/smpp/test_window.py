"""The window: never above its limit, each token out exactly once, sequence numbers that wrap."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.smpp.codec.pdu import LAST, SequenceCounter
from broadcast.smpp.window import LATE_LIMIT, Window


@given(st.integers(1, 20), st.sampled_from([1, LAST - 5]), st.data())
def test_every_token_leaves_exactly_once(limit: int, start: int, data: st.DataObject) -> None:
    window: Window[int] = Window(limit, SequenceCounter(start))
    now, given_out, out, late = 0.0, 0, Counter[int](), Counter[int]()
    unanswered: list[int] = []
    for _ in range(data.draw(st.integers(1, 25))):
        match data.draw(st.sampled_from(["submit", "answer", "strange", "wait"])):
            case "submit":
                count = data.draw(st.integers(0, window.room))
                sequences = window.register(range(given_out, given_out + count), now + 10)
                assert len(set(sequences)) == count
                assert not set(sequences) & set(unanswered)
                unanswered += sequences
                given_out += count
            case "answer":
                some = data.draw(st.lists(st.sampled_from(unanswered), unique=True)) if unanswered else []
                timely, tardy = window.settle(some, [0] * len(some), [b"id"] * len(some))
                assert len(timely) + len(tardy) == len(some)
                out.update(token for token, *_ in timely)
                late.update(token for token, *_ in tardy)
                unanswered = [each for each in unanswered if each not in some]
            case "strange":
                before = window.unexpected
                assert window.settle([LAST // 2], [0], [b""]) == ([], [])
                assert window.unexpected == before + 1
            case "wait":
                now += data.draw(st.sampled_from([1.0, 5.0, 11.0]))
                out.update(window.expire(now))
        assert len(window) <= limit
        assert window.room == limit - len(window)
    out.update(window.drain())
    assert out == Counter(range(given_out))
    assert all(count == 1 for count in late.values())


def test_more_than_room_is_refused() -> None:
    window: Window[str] = Window(2)
    window.register(["a"], 1.0)
    with pytest.raises(ValueError, match="2 submits, but room for 1"):
        window.register(["b", "c"], 1.0)
    assert len(window) == 1


def test_late_memory_is_bounded() -> None:
    window: Window[int] = Window(LATE_LIMIT + 10)
    window.register(range(LATE_LIMIT + 10), 1.0)
    assert len(window.expire(2.0)) == LATE_LIMIT + 10
    assert window.settle([1], [0], [b""]) == ([], [])
    assert window.settle([11], [0], [b"x"]) == ([], [(10, 0, b"x", 11)])
    assert window.settle([11], [0], [b"x"]) == ([], [])


def test_tokens_of_any_kind_even_ones_that_equal_everything() -> None:
    class Equal:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

    token = Equal()
    window: Window[Equal] = Window(3)
    sequences = window.register([token, token], 1.0)
    timely, late = window.settle([sequences[0], 99], [0, 0], [b"", b""])
    assert len(timely) == 1
    assert late == []
    assert window.unexpected == 1


def test_sequences_wrap_at_the_top_and_pass_over_those_in_use() -> None:
    counter = SequenceCounter(LAST - 1)
    assert list(counter.take(2, lambda _: False)) == [LAST - 1, LAST]
    assert list(counter.take(3, {1, 3}.__contains__)) == [2, 4, 5]


def test_a_fresh_counter_wraps_exactly_at_the_top() -> None:
    counter = SequenceCounter()
    assert counter.take(3, lambda _: False) == range(1, 4)
    counter._next = LAST
    assert list(counter.take(1, lambda _: False)) == [LAST]
    assert list(counter.take(2, {1}.__contains__)) == [2, 3]
