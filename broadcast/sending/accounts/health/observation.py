"""What the answers of an account say of it: its breaker, its measures, how much it throttles."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from broadcast.routing import Account
from broadcast.sending.accounts.health.breaker import Breaker
from broadcast.sending.accounts.health.contents import Content, content_of
from broadcast.sending.accounts.health.throttling import Throttling
from broadcast.sending.accounts.selection import Measures
from broadcast.sending.answers.tokens import Token
from broadcast.sending.rules import UNANSWERED
from broadcast.smpp.codec.command_status import RMSGQFUL, ROK, OutcomeClass, meaning_of, name_status
from broadcast.smpp.window import Response

FAULTS: Final = frozenset({OutcomeClass.OF_ACCOUNT, OutcomeClass.SESSION, OutcomeClass.UNKNOWN})
"""Answers that speak against the account."""


class AnswerObserver:
    """Tells the rules of one account what it answers."""

    def __init__(self, breaker: Breaker, measures: Measures, throttling: Throttling) -> None:
        self._breaker: Final = breaker
        self._measures: Final = measures
        self._throttling: Final = throttling
        self._good: tuple[Sequence[Response[Token]], float] = (), 0.0

    def observe(
        self, account: Account, counts: Counter[int], responses: Sequence[Response[Token]], now: float
    ) -> tuple[Content, str] | None:
        """Note answers that came together: one look at each command_status, none at each answer that is no fault.

        A message that would have stopped the account, and the error, for the first time.
        """
        own = account.command_status
        answers, faults, errors, throttled, worst = 0, 0, 0, 0, 0
        for command_status, number in counts.items():
            answers += number
            if command_status:
                found = meaning_of(command_status, own).outcome_class
                if command_status == UNANSWERED or found in FAULTS:
                    faults += number
                    worst = command_status if not worst or number > counts[worst] else worst
                elif found is OutcomeClass.FOR_NOW:
                    errors += number
                elif found is OutcomeClass.THROTTLED:
                    throttled += number
        self._breaker.note_throttled(answers, throttled, now)
        full = 0 if own.get(RMSGQFUL) == "throttled" else counts[RMSGQFUL]
        self._throttling.note_answers(answers, throttled + full)
        self._measures.note_answers(answers, faults + errors, now)
        numbers: Iterable[str] = ()
        if faults and self._breaker.numbers_wanted:
            numbers = [token[1].msisdn for token, status, *_ in responses if status and _is_fault(status, own)]
        if faults or self._breaker.contents:
            self._note_contents(own, responses, now)
        elif responses:
            self._good = responses, now
        reason = "" if not faults else "no answer" if worst == UNANSWERED else name_status(worst)
        self._breaker.note_answers(answers, faults, numbers, reason, now)
        spared = self._breaker.take_spared()
        return None if spared is None else (spared, reason)

    def _note_contents(self, own: Mapping[int, str], responses: Sequence[Response[Token]], now: float) -> None:
        (good, good_at), self._good = self._good, ((), now)
        if good:
            self._breaker.contents.note(
                (), {content_of(token[1]) for token, status, *_ in good if status == ROK}, good_at, other_faults=False
            )
        refused: set[Content] = set()
        accepted: set[Content] = set()
        other_faults = False
        for token, status, *_ in responses:
            if status == ROK:
                if refused:
                    # An acceptance counts for the account only if it came after the refusal.
                    self._breaker.contents.note(refused, accepted, now, other_faults=False)
                    refused, accepted = set(), set()
                accepted.add(content_of(token[1]))
            elif status == UNANSWERED or (found := meaning_of(status, own).outcome_class) is OutcomeClass.SESSION:
                other_faults = True
            elif found is OutcomeClass.OF_ACCOUNT:
                refused.add(content_of(token[1]))
        self._breaker.contents.note(refused, accepted, now, other_faults=other_faults)


def _is_fault(command_status: int, own: Mapping[int, str]) -> bool:
    return command_status == UNANSWERED or meaning_of(command_status, own).outcome_class in FAULTS
