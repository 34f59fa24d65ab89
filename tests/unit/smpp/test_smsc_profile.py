"""Profiles of the simulator: errors name what is wrong, rules are functions of the submit, distributions are right."""

import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.smpp.codec.command_status import RSYSERR
from broadcast.smpp.codec.receipts import MessageState
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.counts.violations import Violation
from broadcast.smsc.profile.delays import Delay, draw
from broadcast.smsc.profile.matching import is_active, next_change
from broadcast.smsc.profile.reading import ProfileError, built_in_profiles, load_profile, read_profile
from broadcast.smsc.profile.rule_plans import RulePlanner
from broadcast.smsc.profile.schedule import Schedule
from broadcast.smsc.profile.tables import Account, Answer, Event, Profile, Receipt, Rule, TlsFiles
from broadcast.smsc.submit_plan import STANDARD_PLAN, mix

NUMBERS = st.integers(10**9, 10**13)
times = st.integers(0, 4000).map(lambda quarters: quarters / 4)
quarters = st.integers(1, 200).map(lambda each: each / 4)


def planner(toml: str, seed: int = 1, account: str = "a") -> RulePlanner:
    return RulePlanner(seed, account, Behaviour(), read_profile(toml, "p.toml").rules)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('seed = "x"', "p.toml, line 1: seed = 'x'"),
        ('[[accounts]]\nname = "a"\nmodes = ["tx"]', "line 3: accounts[1].modes[1] = 'tx': possible: transmitter"),
        (
            "[[rules]]\nshare = 0.1\n\n[[rules]]\nanswer.stats = 1",
            "line 5: rules[2].answer.stats possible: status, body",
        ),
        ('[[rules]]\nanswer.status = "nope"', "line 2: rules[1].answer.status = 'nope' throttled"),
        ('[[rules]]\nanswer.body = "nope"', "line 2: rules[1].answer.body possible: none, empty, id, garbage"),
        ("[[rules]]\nbehaviour.silnt = true", "line 2: rules[1].behaviour.silnt = True possible: delay_ms"),
        ('[[rules]]\nbehaviour.answer_order = "odd"', "line 2: answer_order = 'odd' possible: due, submitted"),
        ("[[rules]]\nbehaviour.hang_share = 3", "line 2: rules[1].behaviour.hang_share = 3: from 0 to 1"),
        ("[[rules]]\nshare = 2", "line 2: rules[1].share = 2: <= 1.0"),
        ("[[rules]]\nanswer.delay_seconds = { uniform = [2, 1] }", "line 2: rules[1].answer.delay_seconds above"),
        ("[[rules]]\nanswer.delay_seconds = { unifrm = [2, 1] }", "line 2: delay_seconds.unifrm possible: uniform"),
        ("[[rules]]\nanswer.delay_seconds = -1", "line 2: rules[1].answer.delay_seconds = -1 below 0"),
        ('[[rules]]\naccounts = ["z"]', "line 2: rules[1].accounts 'z'"),
        ("[[rules]]\nshare = 0.5\nbehaviour.silent = true", "line 3: rules[1].behaviour is of an account"),
        ('[[rules]]\nnumbers = ["+49x"]', "line 2: rules[1].numbers '+49x' is no number digits"),
        ('[[rules]]\npattern = "("', "line 2: rules[1].pattern = '(' is no regular expression"),
        ("[[rules]]\nfrom_seconds = 5\nuntil_seconds = 5", "line 3: until_seconds = 5 is not above from_seconds = 5"),
        ("[[rules]]\nevery_seconds = 5", "line 2: rules[1].every_seconds = 5 need each other"),
        ("[[accounts]]\n", "line 1: accounts[1]: name is missing"),
        (
            '[[accounts]]\nname = "a"\n[[accounts]]\nname = "a"',
            "line 4: accounts[2].name another account has this name",
        ),
        ('[[events]]\ndo = "x"\nat_seconds = 1', "line 2: events[1].do = 'x' possible: unbind, close, away"),
        ("x = =", "p.toml: not TOML line 1"),
    ],
)
def test_an_error_names_file_line_field_value_and_what_is_possible(toml: str, words: str) -> None:
    with pytest.raises(ProfileError) as caught:
        read_profile(toml, "p.toml")
    message = str(caught.value)
    for word in words.replace(": ", " ").split():
        assert word in message, (word, message)


def test_a_file_that_is_not_there_names_the_built_in_profiles() -> None:
    with pytest.raises(ProfileError, match=r"nothing.toml.*healthy.*throttling"):
        load_profile("nothing.toml")


def test_the_built_in_profiles_are_these_and_say_what_they_do() -> None:
    names = "dead flaky full-phones healthy hostile mute one-bad-account slow throttling"
    assert " ".join(built_in_profiles()) == names
    assert all(load_profile(name).about for name in built_in_profiles())


@given(NUMBERS, st.integers(1, 9), st.integers(0, 9), times, st.integers(0, 2**32))
def test_a_plan_is_a_function_of_the_submit(number: int, part: int, repetition: int, at: float, seed: int) -> None:
    toml = """
[[rules]]
share = 0.5
answer = { status = "RSYSERR", delay_seconds = { exponential = 1 } }
[[rules]]
number_share = 0.5
from_seconds = 10
receipt = { times = 2, delay_seconds = { uniform = [1, 2] } }
"""
    plans = {planner(toml, seed).plan(number, part, repetition, at) for _ in range(3)}
    assert len(plans) == 1
    plan = plans.pop()
    assert plan.status in {0, 8}
    assert plan.receipt.times == 1 or 1 <= plan.receipt.delay <= 2


@given(st.integers(0, 2**32), st.floats(0.1, 0.9))
def test_a_share_is_of_submits_and_a_number_share_of_numbers(seed: int, share: float) -> None:
    numbers = random.Random(seed).sample(range(10**9, 10**13), 400)
    by_submit = planner(f"[[rules]]\nshare = {share}\nanswer.status = 8")
    by_number = planner(f"[[rules]]\nnumber_share = {share}\nanswer.status = 8")
    for rules in (by_submit, by_number):
        refused = sum(bool(rules.plan(number, 1, 0, 0.0).status) for number in numbers)
        assert refused == pytest.approx(400 * share, abs=60)
    for number in numbers[:20]:
        assert len({by_number.plan(number, part, again, 0.0).status for part in (1, 2) for again in range(5)}) == 1
    assert any(len({by_submit.plan(number, 1, again, 0.0).status for again in range(20)}) == 2 for number in numbers)


def test_accounts_draw_for_themselves() -> None:
    toml = "[[rules]]\nshare = 0.5\nanswer.status = 8"
    plans = [[planner(toml, account=name).plan(number, 1, 0, 0.0) for number in range(64)] for name in ("a", "b")]
    assert plans[0] != plans[1]


def test_a_rule_keeps_what_the_shares_of_the_behaviour_say_of_each_submit() -> None:
    rules = read_profile("[[rules]]\nreceipt.times = 2", "p.toml").rules
    behaviour = Behaviour(error_shares={"rsyserr": 0.5})
    planned = RulePlanner(1, "a", behaviour, rules)
    plans = [planned.plan(number, 1, 0, 0.0) for number in range(64)]
    without = RulePlanner(1, "a", behaviour, ())
    assert [plan.status for plan in plans] == [without.plan(number, 1, 0, 0.0).status for number in range(64)]
    assert {plan.status for plan in plans} == {0, RSYSERR}
    assert {plan.receipt.times for plan in plans} == {2}


def test_the_delays_of_an_answer_and_of_its_receipt_are_drawn_independently() -> None:
    uniform = "delay_seconds = { uniform = [0, 1] }"
    rules = planner(f"[[rules]]\nanswer.{uniform}\nreceipt.{uniform}")
    plans = [rules.plan(number, 1, 0, 0.0) for number in range(500)]
    pairs = [(plan.delay - 0.5, plan.receipt.delay - 0.5) for plan in plans]
    assert abs(sum(one * other for one, other in pairs)) < 10, "500 / 12 if they are the same"


def test_the_first_rule_that_names_a_field_decides_it() -> None:
    rules = planner("""
[[rules]]
prefixes = ["+4915"]
answer.status = "RSYSERR"
[[rules]]
answer = { status = "RMSGQFUL", body = "id" }
receipt.state = "EXPIRED"
""")
    first, second = rules.plan(491511, 1, 0, 0.0), rules.plan(491611, 1, 0, 0.0)
    assert (first.status, first.body, first.receipt.state) == (0x08, "id", MessageState.EXPIRED)
    assert (second.status, second.body) == (0x14, "id")


@pytest.mark.parametrize(
    ("conditions", "matching", "others"),
    [
        ('numbers = ["+491511", "491512"]', [(491511, 1, 0), (491512, 2, 5)], [(491513, 1, 0), (4915110, 1, 0)]),
        ('prefixes = ["49151"]', [(491511, 1, 0)], [(491601, 1, 0)]),
        ('pattern = "49.*7"', [(4917, 1, 0)], [(4918, 1, 0), (49170, 1, 0)]),
        ("parts = [2]", [(1, 2, 0)], [(1, 1, 0), (1, 3, 0)]),
        ("first = 2", [(1, 1, 0), (1, 1, 1)], [(1, 1, 2)]),
    ],
)
def test_conditions(conditions: str, matching: list[tuple[int, int, int]], others: list[tuple[int, int, int]]) -> None:
    rules = planner(f"[[rules]]\n{conditions}\nanswer.status = 8")
    assert all(rules.plan(*submit, 0.0).status == 8 for submit in matching)
    assert all(rules.plan(*submit, 0.0) == STANDARD_PLAN for submit in others)


@given(quarters, quarters, st.sampled_from([0.25, 0.5, 1.0]), quarters, times)
def test_a_periodic_rule_is_active_in_the_first_part_of_each_period(
    begin: float, every: float, part: float, length: float, at: float
) -> None:
    rule = Rule(from_seconds=begin, until_seconds=begin + length, every_seconds=every, for_seconds=every * part)
    active = is_active(rule, at)
    assert active == (begin <= at < begin + length and (at - begin) % every < every * part)


@given(quarters, quarters, st.sampled_from([0.25, 0.5, 0.75]), quarters, times)
def test_between_two_changes_nothing_changes(begin: float, every: float, part: float, length: float, at: float) -> None:
    rule = Rule(from_seconds=begin, until_seconds=begin + length, every_seconds=every, for_seconds=every * part)
    change = next_change([rule], at)
    if change is None:
        assert not is_active(rule, at) or at >= begin + length or begin > at
        return
    assert change > at
    between = [at + (change - at) * share for share in (0.01, 0.5, 0.99)]
    assert {is_active(rule, moment) for moment in between} == {is_active(rule, between[0])}


def test_the_behaviour_of_an_account_at_a_moment() -> None:
    profile = read_profile(
        """
behaviour.delay_ms = 5
[[accounts]]
name = "a"
behaviour.rate_limit = 100
[[rules]]
from_seconds = 10
until_seconds = 20
behaviour = { rate_limit = 50, silent = true }
""",
        "p.toml",
    )
    schedule = Schedule(profile.accounts[0], profile.behaviour, profile.rules)

    def at(elapsed: float, **asked: object) -> tuple[float, float, bool]:
        behaviour = schedule.behaviour_at(Behaviour(), elapsed, asked)
        return behaviour.delay_ms, behaviour.rate_limit, behaviour.silent

    assert at(0) == at(20) == (5, 100, False)
    assert at(10) == at(19.9) == (5, 50, True)
    assert at(10, silent=False) == (5, 50, False)
    assert [schedule.next_change(moment) for moment in (0, 10, 20)] == [10, 20, None]


words = st.integers(0, 2**64 - 1)


@given(words, st.floats(0, 10), st.floats(0, 10))
def test_a_uniform_delay_is_within_its_bounds(word: int, least: float, wide: float) -> None:
    assert least <= draw(Delay(uniform=(least, least + wide)), word) <= least + wide
    assert draw(least, word) == least
    assert draw(Delay(exponential=least, at_most=wide), word) <= wide


def test_distributions_have_their_mean_and_their_shares() -> None:
    drawn = [draw(Delay(exponential=2.0), mix(number)) for number in range(20_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(2.0, rel=0.05)
    two = Delay(share=0.05, seconds=40.0, otherwise=Delay(uniform=(0.0, 0.1)))
    drawn = [draw(two, mix(number)) for number in range(20_000)]
    assert drawn.count(40.0) == pytest.approx(1000, rel=0.1)
    assert all(each <= 0.1 for each in drawn if each != 40.0)


@pytest.mark.parametrize(
    "names",
    [
        *(table.__struct_fields__ for table in (Account, Answer, Event, Profile, Receipt, Rule, TlsFiles, Delay)),
        Behaviour.__struct_fields__,
        tuple(Violation),
        built_in_profiles(),
    ],
    ids=lambda names: names[0],
)
def test_the_page_about_the_simulator_has_every_field_kind_and_profile(names: tuple[str, ...]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")
    known = set(re.findall(r"[\w-]+", page))
    assert set(map(str, names)) - known == set()
