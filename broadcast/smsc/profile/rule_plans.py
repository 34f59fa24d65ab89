"""The plan of a submit by a profile: a function of seed, account, number, part, repetition and time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final
from zlib import crc32

from broadcast.smsc.behaviour import Behaviour, parse_status
from broadcast.smsc.profile.delays import Delay, draw
from broadcast.smsc.profile.matching import Matcher, draw_word, is_active, next_change, number_word
from broadcast.smsc.profile.tables import Rule, state_of
from broadcast.smsc.submit_plan import MASK, STANDARD_FORM, STANDARD_PLAN, SubmitPlan, SubmitPlanner, mix

_RECEIPT_FIELDS: Final = ("times", "early", "unknown_too")
_FORM_FIELDS: Final = ("pdu", "text", "coding", "payload", "tlvs", "esm_class", "id", "error")
_MERGED_LIMIT: Final = 4096

_Merged = tuple[SubmitPlan, float | Delay, float | Delay]


class RulePlanner:
    """Plans by the behaviour's shares, changed by the rules that hold; the same arguments give the same plan."""

    def __init__(self, seed: int, account: str, behaviour: Behaviour, rules: Sequence[Rule]) -> None:
        self._shares: Final = None if not behaviour.has_shares else SubmitPlanner(seed, behaviour)
        self._seed: Final = mix(mix(seed) ^ crc32(account.encode()))
        self._rules: Final = tuple(rules)
        self._matchers: Final = tuple(Matcher(rule, self._seed + index) for index, rule in enumerate(rules))
        self._effects: Final = tuple(_effects_of(rule) for rule in rules)
        self._merged: Final[dict[tuple[SubmitPlan | None, int], _Merged]] = {}
        # Of the rules whose time has come, a bit of each: those for all submits, by share only, and the others.
        self._for_all = 0
        self._by_share: tuple[tuple[int, int, int], ...] = ()
        self._others: tuple[tuple[int, Matcher], ...] = ()
        self._sorted_from, self._sorted_until = 0.0, -1.0

    def plan(self, number: int, part: int, repetition: int, elapsed: float) -> SubmitPlan:
        """The plan for part `part` to `number`, after `repetition` submits of it, `elapsed` seconds after the start."""
        plan, delay, receipt_delay = self.draw(number, part, repetition, elapsed)
        return plan._replace(delay=delay, receipt=plan.receipt._replace(delay=receipt_delay))

    def draw(self, number: int, part: int, repetition: int, elapsed: float) -> tuple[SubmitPlan, float, float]:
        """The same, as a plan that many submits share, the delay of its response and that of its receipt."""
        base = STANDARD_PLAN if self._shares is None else self._shares.plan(number, repetition)
        if not self._rules:
            return base, base.delay, base.receipt.delay
        if not self._sorted_from <= elapsed < self._sorted_until:
            self._sort_rules(elapsed)
        number_bits = number_word(self._seed, number)
        word = draw_word(number_bits, part, repetition)
        matched = self._for_all
        for bit, multiplier, threshold in self._by_share:
            if word * multiplier & MASK < threshold:
                matched |= bit
        if self._others:
            words, digits = (word, number_bits), str(number)
            for bit, matcher in self._others:
                if matcher.matches(words, digits, part, repetition):
                    matched |= bit
        if not matched:
            return base, base.delay, base.receipt.delay
        key = (None if base is STANDARD_PLAN else base, matched)
        merged = self._merged.get(key)
        if merged is None:
            if len(self._merged) >= _MERGED_LIMIT:
                self._merged.clear()
            merged = self._merged[key] = self._merge(base, matched)
        plan, delay, receipt_delay = merged
        if isinstance(delay, Delay):
            delay = draw(delay, mix(word ^ 1))
        if isinstance(receipt_delay, Delay):
            receipt_delay = draw(receipt_delay, mix(word ^ 2))
        return plan, delay, receipt_delay

    def _sort_rules(self, elapsed: float) -> None:
        """Choose the rules whose time has come at `elapsed`; the choice holds until the next of them begins or ends."""
        active = [
            (1 << index, matcher)
            for index, (rule, matcher) in enumerate(zip(self._rules, self._matchers, strict=True))
            if is_active(rule, elapsed)
        ]
        until = next_change(self._rules, elapsed)
        self._sorted_from, self._sorted_until = elapsed, math.inf if until is None else until
        self._for_all = sum(bit for bit, matcher in active if matcher.for_all)
        self._by_share = tuple((bit, *each.by_share) for bit, each in active if each.by_share is not None)
        self._others = tuple((bit, each) for bit, each in active if not each.for_all and each.by_share is None)

    def _merge(self, base: SubmitPlan, matched: int) -> _Merged:
        answer: dict[str, Any] = {}
        receipt: dict[str, Any] = {}
        for answers, receipts in (each for index, each in enumerate(self._effects) if matched >> index & 1):
            answer = {**answers, **answer}
            receipt = {**receipts, **receipt}
        delay = answer.pop("delay_seconds", base.delay)
        receipt_delay = receipt.pop("delay_seconds", base.receipt.delay)
        form = {name: receipt.pop(name) for name in _FORM_FIELDS if name in receipt}
        plan = base._replace(**answer, receipt=base.receipt._replace(**receipt, form=STANDARD_FORM._replace(**form)))
        if not isinstance(delay, Delay):
            plan = plan._replace(delay=delay)
        if not isinstance(receipt_delay, Delay):
            plan = plan._replace(receipt=plan.receipt._replace(delay=receipt_delay))
        return plan, delay, receipt_delay


def _effects_of(rule: Rule) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What the rule sets of a SubmitPlan and of a ReceiptPlan with its form; delays may be distributions."""
    answer: dict[str, Any] = {}
    given = rule.answer
    if given.status is not None:
        answer["status"] = given.status if isinstance(given.status, int) else parse_status(given.status)
    for name, field in (("body", "body"), ("nack", "nack"), ("never", "unanswered"), ("takes", "takes")):
        if getattr(given, name) is not None:
            answer[field] = getattr(given, name)
    for name, field in (("delay_seconds", "delay_seconds"), ("times", "answers"), ("cut", "cut"), ("tlvs", "tlvs")):
        if getattr(given, name) is not None:
            answer[field] = getattr(given, name)
    receipt: dict[str, Any] = {
        name: getattr(rule.receipt, name)
        for name in (*_RECEIPT_FIELDS, *_FORM_FIELDS, "delay_seconds")
        if getattr(rule.receipt, name) is not None
    }
    if rule.receipt.state is not None:
        receipt["state"] = state_of(rule.receipt.state)
    if rule.receipt.intermediate is not None:
        receipt["intermediate"] = tuple(map(state_of, rule.receipt.intermediate))
    return answer, receipt
