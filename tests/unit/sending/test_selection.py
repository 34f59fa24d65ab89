"""Which account gets work: by weight, after fallback and health, and not differently because all are slow."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.sending.accounts.selection import (
    POOR_SHARE,
    Measure,
    Measures,
    find_failing,
    find_slow,
    may_resend,
    order,
)

NOBODY: frozenset[str] = frozenset()


@dataclass
class Taker:
    """An account that takes what it is given."""

    name: str
    weight: float = 1.0
    fallback: bool = False
    poor: bool = False
    served: float = 0.0
    segments: int = 0

    def take(self, segments: int) -> None:
        self.segments += segments
        self.served += segments / (self.weight * (POOR_SHARE if self.poor else 1.0))


def share_out(accounts: list[Taker], rounds: int = 3_000, segments: int = 10) -> list[float]:
    """The share of each account when one write at a time is to be made and all have room."""
    for _ in range(rounds):
        order(accounts)[0].take(segments)
    total = sum(account.segments for account in accounts)
    return [account.segments / total for account in accounts]


@given(st.lists(st.floats(0.1, 20), min_size=1, max_size=5))
def test_work_is_shared_by_weight(weights: list[float]) -> None:
    shares = share_out([Taker(str(number), weight) for number, weight in enumerate(weights)])
    assert shares == pytest.approx([weight / sum(weights) for weight in weights], abs=0.01)


def test_a_fallback_account_gets_work_only_when_no_other_can_take_any() -> None:
    main, fallback = Taker("a"), Taker("b", fallback=True)
    assert order([main, fallback]) == [main]
    assert order([fallback]) == [fallback]
    main.poor = True
    assert order([main, fallback]) == [main]


def test_a_poor_account_gets_a_tenth_and_all_poor_are_as_good_as_none() -> None:
    assert share_out([Taker("a"), Taker("b", poor=True)]) == pytest.approx([10 / 11, 1 / 11], abs=0.01)
    assert share_out([Taker("a", poor=True), Taker("b", poor=True)]) == pytest.approx([0.5, 0.5], abs=0.01)


def test_while_a_good_account_is_full_a_poor_one_gets_no_more_than_its_share() -> None:
    good, poor = Taker("a"), Taker("b", poor=True)
    for _ in range(100):
        for each in order([good, poor]):
            each.take(10)
    assert poor.segments <= good.segments * POOR_SHARE + 10


@given(st.lists(st.tuples(st.floats(0.1, 5), st.booleans(), st.booleans()), min_size=1, max_size=6))
def test_there_is_always_somebody_to_give_work_to(drawn: list[tuple[float, bool, bool]]) -> None:
    accounts = [Taker(str(n), weight, fallback, poor) for n, (weight, fallback, poor) in enumerate(drawn)]
    for _ in range(200):
        chosen = order(accounts)
        assert chosen
        chosen[0].take(7)


def test_far_more_errors_than_the_best_account_is_poor_until_there_are_few() -> None:
    def failing(share: float, other: float, was: frozenset[str] = NOBODY, answers: float = 100) -> frozenset[str]:
        return find_failing({"a": Measure(answers, share), "b": Measure(100, other)}, was)

    assert failing(0.30, 0.01) == {"a"}
    assert failing(0.10, 0.01) == NOBODY
    assert failing(0.30, 0.01, answers=20) == NOBODY, "too few answers"
    assert failing(0.10, 0.01, frozenset("a")) == {"a"}
    assert failing(0.10, 0.01, frozenset("a"), answers=5) == {"a"}
    assert failing(0.04, 0.01, frozenset("a")) == NOBODY


def test_receipts_that_come_far_later_than_those_of_the_best_account_make_it_poor_until_they_are_quick() -> None:
    def slow(delay: float, other: float | None, was: frozenset[str] = NOBODY) -> frozenset[str]:
        return find_slow({"a": Measure(100, 0, delay), "b": Measure(100, 0, other)}, was)

    assert slow(300, 5) == {"a"}
    assert slow(40, 5) == NOBODY, "nobody minds"
    assert slow(300, 100) == NOBODY, "others are slow too"
    assert slow(300, None) == NOBODY, "there is nothing to compare with"
    assert slow(40, 5, frozenset("a")) == {"a"}
    assert slow(20, 5, frozenset("a")) == NOBODY


measures = st.builds(Measure, st.floats(0, 1_000), st.floats(0, 1), st.one_of(st.none(), st.floats(0, 10_000)))
by_name = st.dictionaries(st.sampled_from("abcde"), measures, min_size=1)


@given(by_name, st.frozensets(st.sampled_from("abcde")))
def test_the_best_account_is_never_poor(found: dict[str, Measure], was: frozenset[str]) -> None:
    known = {name: each.error_share for name, each in found.items() if each.answers >= 50}
    if known and (best := min(known, key=lambda name: known[name])) not in was:
        assert best not in find_failing(found, was)
    delays = {name: each.receipt_delay for name, each in found.items() if each.receipt_delay is not None}
    if delays:
        assert min(delays, key=lambda name: delays[name]) not in find_slow(found, was)


@given(measures, st.integers(1, 5), st.booleans())
def test_nothing_shifts_when_all_are_alike_however_bad(measure: Measure, number: int, was: bool) -> None:
    found = dict.fromkeys("abcde"[:number], measure)
    before = frozenset(found) if was else NOBODY
    assert find_failing(found, before) == NOBODY
    assert find_slow(found, before) == NOBODY


@given(st.floats(0, 1), st.floats(0, 0.05))
def test_what_lies_between_the_two_limits_changes_nothing(share: float, best: float) -> None:
    found = {"a": Measure(100, share), "b": Measure(100, best)}
    once = find_failing(found, NOBODY)
    assert find_failing(found, once) == once
    again = find_failing(found, frozenset("a"))
    assert find_failing(found, again) == again
    assert once <= again


def test_what_was_measured_counts_for_less_as_time_passes() -> None:
    measured = Measures()
    measured.note_answers(100, 100, 0.0)
    assert measured.read(0.0) == Measure(100, 1.0)
    assert measured.read(30.0).answers == 50
    measured.note_answers(100, 0, 60.0)
    assert measured.read(60.0) == Measure(125, 0.2)
    measured.note_receipts([10.0] * 50, 60.0)
    measured.note_receipts([1.0, 100.0, 100.0, 100.0, 1_000.0], 61.0)
    assert measured.read(61.0).receipt_delay == pytest.approx(19.0)
    assert measured.read(1_000.0).receipt_delay is None


NAMES = st.sets(st.sampled_from("abcd"))


@given(NAMES, NAMES, NAMES)
def test_a_resend_goes_to_no_account_that_is_silent_or_just_probed_while_another_works(
    usable: set[str], working: set[str], unanswered_by: set[str]
) -> None:
    takers = {name for name in "abcd" if may_resend(name, usable, working, unanswered_by)}
    assert takers <= usable
    assert bool(takers) is bool(usable), "somebody takes it"
    if usable & working:
        assert takers <= working, "a probe takes no resend"
    if usable & working - unanswered_by:
        assert not takers & unanswered_by, "not the one that was silent"
