"""Which shares of failed and unreached submits are an alarm, per alert, account and operator. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from broadcast.audit.codes import CODE_OF_OUTCOME, RECEIPT_OF_CODE
from broadcast.audit.outcomes.outcome_counts import DELIVERED, NO_ACCOUNT, SLOT_SECONDS, Counted, OutcomeKey, slot_at
from broadcast.audit.undelivered import UNDELIVERED_CODES
from broadcast.smpp.codec.command_status import name_status
from schemas.status import Outcome

ENOUGH: Final = 100
"""Submits that make a share: of fewer, chance alone makes a large one."""

SMALL_SECONDS: Final = 50.0
"""After so long from its first submit an alert with fewer is assessed all the same: somebody may be unreached."""

END_AT: Final = 0.75
"""An alarm ends when its share is at most so much of the limit, so that it does not come and go."""

REASONS_SHOWN: Final = 3

_ACCEPTED: Final = CODE_OF_OUTCOME[Outcome.ACCEPTED]
_UNKNOWN: Final = CODE_OF_OUTCOME[Outcome.UNKNOWN]
_WORDS: Final = {
    CODE_OF_OUTCOME[Outcome.REFUSED]: "refused",
    CODE_OF_OUTCOME[Outcome.REFUSED_FOR_NOW]: "refused for now",
    CODE_OF_OUTCOME[Outcome.EXPIRED]: "expired before a submit",
    CODE_OF_OUTCOME[Outcome.FAILED]: "not sent",
}


class Scope(StrEnum):
    """What outcomes are watched of."""

    ALERT = "alert"
    ACCOUNT = "account"
    OPERATOR = "operator"


class Limits(NamedTuple):
    """Shares above which it is an alarm, and how long a receipt is waited for."""

    failed_share: float
    unreached_share: float
    receipt_wait_seconds: float


class WatchedAccount(NamedTuple):
    """An account by its name in the routes file, its operator, and whether it asks for receipts."""

    name: str
    operator: str
    receipts: bool = True


@dataclass(slots=True)
class Tally:
    """The submits of one alert, account or operator; those with `old` were made before a receipt is due by now.

    `failed` were refused, not sent or reported undelivered. `reasons` counts why, `accounts` by account.
    """

    first_slot: int | None = None
    submits: int = 0
    failed: int = 0
    old: int = 0
    old_delivered: int = 0
    old_receipts: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    accounts: Counter[str] = field(default_factory=Counter)

    @property
    def unreached(self) -> int:
        """Old submits without a receipt that says delivered."""
        return max(0, self.old - self.old_delivered)

    @property
    def failed_share(self) -> float:
        """Share of the submits that failed."""
        return self.failed / self.submits if self.submits else 0.0

    @property
    def unreached_share(self) -> float:
        """Share of the old submits that reached nobody, as far as receipts say."""
        return self.unreached / self.old if self.old else 0.0


class Assessment(NamedTuple):
    """Whether the shares are an alarm, small enough to end one, or neither (both false)."""

    failing: bool
    fine: bool


def add_up(
    counts: Iterable[tuple[OutcomeKey, int]],
    scope: Scope,
    *,
    now: datetime,
    limits: Limits,
    accounts: Mapping[int, WatchedAccount],
    cleared: Mapping[str, datetime],
) -> dict[str, Tally]:
    """The tally of each subject of a scope; what was submitted before its alarm was cleared is left out.

    `accounts` by their numbers; `cleared` says when a person cleared the alarm of a subject.
    """
    due = slot_at(now - timedelta(seconds=limits.receipt_wait_seconds))
    cleared_slots = {subject: slot_at(at) for subject, at in cleared.items()}
    tallies: dict[str, Tally] = defaultdict(Tally)
    for key, count in counts:
        account = accounts.get(key.account)
        subject = _subject_of(key, scope, account)
        if subject is None or key.slot <= cleared_slots.get(subject, -1):
            continue
        tally = tallies[subject]
        old = key.slot < due and (account is None or account.receipts)
        if key.counted == Counted.SUBMIT:
            _add_submits(tally, key, count, old=old)
        else:
            _add_receipts(tally, key, count, old=old)
        if account is not None and key.counted == Counted.SUBMIT:
            tally.accounts[account.name] += count
    return dict(tallies)


def _subject_of(key: OutcomeKey, scope: Scope, account: WatchedAccount | None) -> str | None:
    match scope:
        case Scope.ALERT:
            return key.alert_id
        case Scope.ACCOUNT:
            return account.name if account is not None and key.account != NO_ACCOUNT else None
        case Scope.OPERATOR:
            return account.operator if account is not None and key.account != NO_ACCOUNT else None


def _add_submits(tally: Tally, key: OutcomeKey, count: int, *, old: bool) -> None:
    tally.first_slot = key.slot if tally.first_slot is None else min(tally.first_slot, key.slot)
    tally.submits += count
    if old:
        tally.old += count
    if key.code in _WORDS:
        tally.failed += count
        error = int(key.error or 0)
        tally.reasons[f"{_WORDS[key.code]}{': ' + name_status(error) if error else ''}"] += count
    elif key.code == _UNKNOWN:
        tally.reasons["no answer to the submit"] += count


def _add_receipts(tally: Tally, key: OutcomeKey, count: int, *, old: bool) -> None:
    if key.code in UNDELIVERED_CODES:
        tally.failed += count
    if old:
        tally.old_receipts += count
        if key.code == DELIVERED:
            tally.old_delivered += count
    if key.code != DELIVERED:
        error = f", error {key.error}" if key.error else ""
        tally.reasons[f"receipt {RECEIPT_OF_CODE[key.code].value}{error}"] += count


def assess(tally: Tally, scope: Scope, limits: Limits, now: datetime) -> Assessment:
    """Whether a tally is an alarm. Below `ENOUGH` submits only an alert is assessed, after `SMALL_SECONDS`."""
    first = tally.first_slot
    waited = first is not None and now.timestamp() - first * SLOT_SECONDS >= SMALL_SECONDS
    small = scope is Scope.ALERT and waited
    assessed = tally.submits >= ENOUGH or (small and tally.submits > 0)
    old_assessed = tally.old >= ENOUGH or (small and tally.old > 0)
    failing = (assessed and tally.failed_share > limits.failed_share) or (
        old_assessed and tally.unreached_share > limits.unreached_share
    )
    # Whoever has so many old submits has so many submits.
    fine = (
        old_assessed
        and tally.failed_share <= END_AT * limits.failed_share
        and tally.unreached_share <= END_AT * limits.unreached_share
    )
    return Assessment(failing, fine)


def describe(tally: Tally, limits: Limits) -> str:
    """Shares, counts, the most frequent reasons, the accounts, and what to do, for an alarm's detail."""
    parts = []
    refused_first = tally.submits > 0 and tally.failed_share > limits.failed_share
    if refused_first:
        parts.append(
            f"{tally.failed:,} of {tally.submits:,} submits were refused, not sent or reported undelivered "
            f"({tally.failed_share:.0%}, limit {limits.failed_share:.0%})"
        )
    if tally.old and tally.unreached_share > limits.unreached_share:
        missing = max(0, tally.old - tally.old_receipts)
        parts.append(
            f"{tally.unreached:,} of {tally.old:,} submits have no receipt that says delivered after "
            f"{limits.receipt_wait_seconds:g} s ({tally.unreached_share:.0%}, limit {limits.unreached_share:.0%}); "
            f"{missing:,} have none at all"
        )
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in _positive(tally.reasons))
    accounts = ", ".join(f"{name} {count:,}" for name, count in _positive(tally.accounts))
    return (
        f"{'; '.join(parts)}. Most frequent: {reasons or 'no receipt'}. Accounts: {accounts or 'none'}. "
        + ("Ask the operator what that means." if refused_first else "Ask the operator whether messages are delivered.")
        + " Warn the people in another way until it is mended."
    )


def _positive(counts: Counter[str]) -> list[tuple[str, int]]:
    return [(name, count) for name, count in counts.most_common(REASONS_SHOWN) if count > 0]
