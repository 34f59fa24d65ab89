"""The window: never above its limit, each token out exactly once, sequence numbers that wrap."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.smpp.codec.pdu import LAST, SequenceCounter
from broadcast.smpp.window import MARKS_PER_TIMEOUT, REFUSALS_LIMIT, Window, limit_given_up

TIMEOUT = 10.0


@given(st.integers(1, 20), st.sampled_from([1, LAST - 5]), st.data())
def test_every_token_leaves_exactly_once(limit: int, start: int, data: st.DataObject) -> None:
    window: Window[int] = Window(limit, SequenceCounter(start))
    now, given_out, out, late = 0.0, 0, Counter[int](), Counter[int]()
    written_at: dict[int, float] = {}
    answered: list[int] = []
    unanswered: dict[int, int] = {}
    for _ in range(data.draw(st.integers(1, 25))):
        match data.draw(st.sampled_from(["submit", "answer", "strange", "wait"])):
            case "submit":
                count = data.draw(st.integers(0, window.room))
                tokens = range(given_out, given_out + count)
                sequences = window.register(tokens)
                assert len(set(sequences)) == count
                assert not set(sequences) & set(unanswered)
                unanswered |= dict(zip(sequences, tokens, strict=True))
                written_at |= dict.fromkeys(tokens, now)
                given_out += count
            case "answer":
                some = data.draw(st.lists(st.sampled_from(sorted(unanswered)), unique=True)) if unanswered else []
                timely, tardy = window.settle(some, [0] * len(some), [b"id"] * len(some))
                assert len(timely) + len(tardy) == len(some)
                out.update(token for token, *_ in timely)
                late.update(token for token, *_ in tardy)
                answered += [unanswered.pop(each) for each in some]
            case "strange":
                before = window.unexpected
                assert window.settle([LAST // 2], [0], [b""]) == ([], [])
                assert window.unexpected == before + 1
            case "wait":
                now += data.draw(st.sampled_from([1.0, 5.0, 11.0]))
                given_up = window.give_up(now, TIMEOUT)
                # Tokens count up in the order of writing.
                assert all(now - written_at[token] >= TIMEOUT for token in given_up)
                assert all(token < max(answered) for token in given_up)
                out.update(given_up)
        assert len(window) == len(unanswered) <= limit
        assert window.room == limit - len(window)
        assert window.pending + window.given_up == len(window)
    out.update(window.drain())
    assert out == Counter(range(given_out))
    assert all(count == 1 for count in late.values())


@given(st.lists(st.integers(0, 9), min_size=1, unique=True), st.sampled_from([1, LAST - 4]))
def test_what_is_overdue_and_overtaken_is_given_up_and_nothing_else(answered: list[int], start: int) -> None:
    window: Window[int] = Window(20, SequenceCounter(start))
    sequences = window.register(range(10))
    assert window.give_up(0.0, TIMEOUT) == []
    window.settle([sequences[each] for each in answered], [0] * len(answered), [b""] * len(answered))
    assert window.give_up(TIMEOUT - 0.1, TIMEOUT) == []
    young = window.register(range(10, 15))
    window.settle(young[-1:], [0], [b""])
    assert window.give_up(TIMEOUT + 0.1, TIMEOUT) == [each for each in range(10) if each not in answered]
    assert window.pending == 4
    assert window.give_up(TIMEOUT + 0.2, TIMEOUT) == []


@given(st.floats(0.1, 500.0), st.integers(1, 50))
def test_an_smsc_that_answers_in_order_however_slowly_makes_no_unknown(delay: float, limit: int) -> None:
    window: Window[int] = Window(limit)
    now, written, due = 0.0, 0, list[tuple[float, int]]()
    while now < delay * 3:
        ready = [sequence for at, sequence in due if at <= now]
        due = due[len(ready) :]
        assert len(window.settle(ready, [0] * len(ready), [b""] * len(ready))[0]) == len(ready)
        assert window.give_up(now, TIMEOUT) == []
        tokens = range(written, written + window.room)
        due += [(now + delay, sequence) for sequence in window.register(tokens)]
        written = tokens.stop
        assert len(window) == len(due) == limit
        now += delay / 7


def test_a_place_is_taken_until_the_smsc_answers() -> None:
    window: Window[str] = Window(3)
    first, second, third = window.register(["a", "b", "c"])
    window.give_up(0.0, TIMEOUT)
    window.settle([second], [0], [b""])
    assert window.give_up(TIMEOUT, TIMEOUT) == ["a"]
    assert (window.room, len(window), window.pending, window.given_up) == (1, 2, 1, 1)
    assert first in window
    assert window.settle([first], [0], [b"x"]) == ([], [("a", 0, b"x", first)])
    assert (window.room, window.given_up, window.pending) == (2, 0, 1)
    assert window.settle([first], [0], [b"x"]) == ([], [])
    assert window.unexpected == 1
    assert third in window


def test_memory_does_not_grow_with_what_was_sent() -> None:
    window: Window[int] = Window(50)
    stuck = window.register([-1])
    for turn in range(20_000):
        sequences = window.register(range(40))
        window.settle(sequences, [0] * 40, [b""] * 40)
        window.give_up(turn * 0.1, 30.0)
    assert (window.pending, window.given_up) == (0, 1)
    assert len(window._marks) <= MARKS_PER_TIMEOUT + 1
    assert window.settle(stuck, [0], [b""])[1] == [(-1, 0, b"", stuck[0])]
    assert (len(window), window._pending, window._given_up) == (0, {}, {})


def test_more_than_room_is_refused() -> None:
    window: Window[str] = Window(2)
    window.register(["a"])
    with pytest.raises(ValueError, match="2 submits, but room for 1"):
        window.register(["b", "c"])
    assert len(window) == 1


@pytest.mark.parametrize(("window", "limit"), [(1, 0), (2, 1), (10, 5), (16, 8), (64, 16), (500, 125)])
def test_a_quarter_of_a_window_may_be_given_up_and_half_of_a_small_one(window: int, limit: int) -> None:
    assert limit_given_up(window) == limit


def test_tokens_of_any_kind_even_ones_that_equal_everything() -> None:
    class Equal:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

    token = Equal()
    window: Window[Equal] = Window(3)
    sequences = window.register([token, token])
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


def test_answers_after_the_response_timeout_are_counted_also_when_they_come_in_order() -> None:
    window: Window[int] = Window(20, SequenceCounter(LAST - 4))
    old = list(window.register(range(10)))
    assert window.give_up(0.0, TIMEOUT) == []
    window.settle(old[:4], [0] * 4, [b""] * 4)
    assert window.take_answers() == (4, 0)
    assert window.give_up(TIMEOUT + 0.1, TIMEOUT) == []
    new = list(window.register(range(10, 15)))
    window.settle(old[4:9], [0] * 5, [b""] * 5)
    assert window.take_answers() == (5, 5)
    window.settle(new, [0] * 5, [b""] * 5)
    assert window.take_answers() == (5, 0)
    assert window.give_up(TIMEOUT + 0.2, TIMEOUT) == [9]
    window.settle(old[9:], [0], [b""])
    assert window.take_answers() == (1, 1)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0, 8, 0x58])), max_size=30), st.booleans())
def test_only_the_first_acceptance_after_a_refusal_is_a_second_answer(
    answers: list[tuple[int, int]], together: bool
) -> None:
    window: Window[int] = Window(6)
    sequences = window.register(range(6))
    expected: list[int] = []
    first: dict[int, int] = {}
    for token, status in answers:
        known = first.setdefault(token, status)
        if known and not status:
            expected.append(token)
            first[token] = 0
    for batch in [answers] if together else [[each] for each in answers]:
        window.settle([sequences[token] for token, _ in batch], [status for _, status in batch], [b""] * len(batch))
    assert [token for token, *_ in window.take_second()] == expected
    assert window.take_second() == []
    assert window.take_unexpected() == len(answers) - len(first) - len(expected)


def test_a_refusal_is_known_for_the_response_timeout_at_least_and_twice_that_at_most() -> None:
    window: Window[str] = Window(4)
    one, two = window.register(["one", "two"])
    window.give_up(100.0, 10.0)
    window.settle([one, two], [8, 8], [b"", b""])
    window.give_up(110.0, 10.0)
    window.settle([one], [0], [b"x"])
    assert window.take_second() == [("one", 0, b"x", one)]
    window.give_up(120.0, 10.0)
    window.settle([two], [0], [b"x"])
    assert window.take_second() == []


def test_an_smsc_that_refuses_everything_makes_no_memory_grow() -> None:
    window: Window[int] = Window(1_000)
    for _ in range(20):
        window.settle(window.register(range(1_000)), [8] * 1_000, [b""] * 1_000)
    assert len(window._refused) == REFUSALS_LIMIT
