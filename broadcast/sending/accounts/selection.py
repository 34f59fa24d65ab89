"""Which accounts of a route get work, and in which order: weights, fallback accounts, poor accounts. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

POOR_SHARE: Final = 0.1
"""A poor account counts with this share of its weight: enough to see whether it is good again."""

LEAST_COMPARED: Final = 50
"""Answers below which their errors say nothing."""

MEMORY_SECONDS: Final = 30.0
"""After so long an answer counts half."""

ERRORS_POOR: Final = 0.20
ERRORS_GOOD: Final = 0.05
ERRORS_FACTOR: Final = 2.0
"""An account is poor only with so many times the errors of the best one."""

DELAY_POOR_SECONDS: Final = 60.0
DELAY_GOOD_SECONDS: Final = 30.0
DELAY_POOR_FACTOR: Final = 4.0
DELAY_GOOD_FACTOR: Final = 2.0

RECEIPTS_FULL: Final = 50
"""So many receipts at once replace what was measured of receipts before; fewer count for less."""

RECEIPTS_SECONDS: Final = 600.0
"""After so long without a receipt, their delay is not known any more."""


class Candidate(Protocol):
    """An account that can take work; `served` are the segments written to it, each divided by its weight."""

    served: float

    @property
    def fallback(self) -> bool:
        """Whether it gets work only when no other account can take any."""

    @property
    def poor(self) -> bool:
        """Whether others are so much better that it gets only a small share."""


C = TypeVar("C", bound=Candidate)


def order(usable: Sequence[C]) -> list[C]:
    """The accounts that get work now, the first before the others.

    The one with the fewest segments for its weight goes first; nothing waits for it while another has room. A poor one
    goes only when its share is due. Fallback accounts go when there is no other. All poor is as good as none.
    """
    main = [each for each in usable if not each.fallback] or list(usable)
    good = [each for each in main if not each.poor]
    if good and len(good) < len(main):
        least = min(each.served for each in good)
        main = [each for each in main if not each.poor or each.served <= least]
    return sorted(main, key=_served_of)


def may_resend(account: str, usable: Collection[str], working: Collection[str], unanswered_by: Collection[str]) -> bool:
    """Whether one of the `usable` accounts may take a copy of what was not answered.

    A copy may be the last one. So it goes by an account that is `working` (a probe is no work) and left no copy of it
    unanswered; without one, by one that works; without that too, by any.
    """
    able = [each for each in usable if each in working]
    return account in ([each for each in able if each not in unanswered_by] or able or usable)


def find_takers(usable: Iterable[str], refused_by: Collection[str], blames: Callable[[str], bool]) -> Sequence[str]:
    """The `usable` accounts that may take a job which the accounts `refused_by` have refused.

    Another account goes first. Without one, those that refused it may take it by now, but not one that `blames` the
    message: it refuses just this one, and takes others.
    """
    usable = tuple(usable)
    return [each for each in usable if each not in refused_by] or [each for each in usable if not blames(each)]


def _served_of(candidate: Candidate) -> float:
    return candidate.served


@dataclass(frozen=True, slots=True)
class Measure:
    """What is known of an account: recent answers, the share of errors in them, the usual seconds to a receipt."""

    answers: float = 0.0
    error_share: float = 0.0
    receipt_delay: float | None = None


class Measures:
    """Measures one account; answers and receipts count for less and less as time passes. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._answers = self._errors = 0.0
        self._at = float("-inf")
        self._delay: float | None = None
        self._receipt_at = float("-inf")

    def note_answers(self, answers: int, errors: int, now: float) -> None:
        """Note answers that came together, and how many were errors of the SMSC or of the account."""
        kept = 0.5 ** ((now - self._at) / MEMORY_SECONDS)
        self._answers = self._answers * kept + answers
        self._errors = self._errors * kept + errors
        self._at = now

    def note_receipts(self, delays: Sequence[float], now: float) -> None:
        """Note how many seconds receipts needed that came together, from the submit to the final state."""
        if not delays:
            return
        usual = sorted(delays)[len(delays) // 2]
        share = min(1.0, len(delays) / RECEIPTS_FULL)
        before = usual if self._delay is None or now - self._receipt_at > RECEIPTS_SECONDS else self._delay
        self._delay = before + share * (usual - before)
        self._receipt_at = now

    def read(self, now: float) -> Measure:
        """What is known at `now`."""
        answers = self._answers * 0.5 ** ((now - self._at) / MEMORY_SECONDS)
        share = self._errors / self._answers if self._answers else 0.0
        return Measure(answers, share, self._delay if now - self._receipt_at <= RECEIPTS_SECONDS else None)


def find_failing(measures: Mapping[str, Measure], failing: frozenset[str]) -> frozenset[str]:
    """The accounts with far more errors than the best one; `failing` are those that had them until now.

    It takes more to come in than to stay in. Where all fail alike, none is in.
    """
    found: set[str] = set()
    for name, measure in measures.items():
        others = [each.error_share for other, each in measures.items() if other != name and _is_known(each)]
        if not others:
            continue
        if name in failing:
            # A poor account gets little work: few answers must be enough to stay in.
            if measure.error_share > max(ERRORS_GOOD, min(others)):
                found.add(name)
        elif _is_known(measure) and measure.error_share >= max(ERRORS_POOR, ERRORS_FACTOR * min(others)):
            found.add(name)
    return frozenset(found)


def find_slow(measures: Mapping[str, Measure], slow: frozenset[str]) -> frozenset[str]:
    """The accounts whose receipts need far longer than those of the best one; `slow` are those that were until now.

    It takes more to come in than to stay in. Where all are slow, none is in.
    """
    found: set[str] = set()
    for name, measure in measures.items():
        others = [
            each.receipt_delay for other, each in measures.items() if other != name and each.receipt_delay is not None
        ]
        if measure.receipt_delay is None or not others:
            continue
        least, factor = (
            (DELAY_GOOD_SECONDS, DELAY_GOOD_FACTOR) if name in slow else (DELAY_POOR_SECONDS, DELAY_POOR_FACTOR)
        )
        if measure.receipt_delay >= max(least, factor * min(others)):
            found.add(name)
    return frozenset(found)


def _is_known(measure: Measure) -> bool:
    return measure.answers >= LEAST_COMPARED
