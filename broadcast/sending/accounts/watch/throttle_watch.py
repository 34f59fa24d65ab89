"""Which accounts an SMSC throttles, and how much: on `/readyz`, as metrics, and for long as an alarm."""

from contextlib import suppress
from typing import Final

from broadcast import metrics
from broadcast.alarms import ACCOUNT_THROTTLED, Alarms
from broadcast.health import Health
from broadcast.sending.accounts.binds import AccountBinds

RENEW_SECONDS: Final = 15.0
"""The figures of an open alarm are so old at most."""

ADVICE: Final = "Ask the operator of the SMSC which rate it allows, and correct rate_per_second (docs/how-to/alarms.md)"


class ThrottleWatch:
    """Watches the rates of the accounts of a route; `slot` names this sender among the others."""

    def __init__(self, slot: str, health: Health, alarms: Alarms) -> None:
        self._slot: Final = slot
        self._health: Final = health
        self._alarms: Final = alarms
        self._renewed_at: Final[dict[str, float | None]] = {}

    def look(self, binds: AccountBinds, now: float) -> None:
        """Say how much an account is throttled at `now`, monotonic seconds."""
        name, throttling = binds.account.name, binds.throttling
        throttling.look(now, binds.pool.allowed_rate(), binds.pool.limit)
        metrics.account_throttled_ratio.labels(name).set(throttling.share)
        for gauge, rate in ((metrics.account_rate, throttling.rate), (metrics.account_rate_limit, throttling.limit)):
            if rate is not None:
                gauge.labels(name).set(rate)
        if throttling.slowed or throttling.held:
            self._health.degrade(_subject_of(name), throttling.describe())
        else:
            self._health.release(_subject_of(name))
        self._alarm(binds, now)

    def forget(self, name: str) -> None:
        """End what was said of an account that is removed."""
        self._health.release(_subject_of(name))
        for gauge in (metrics.account_throttled_ratio, metrics.account_rate, metrics.account_rate_limit):
            with suppress(KeyError):
                gauge.remove(name)
        if self._renewed_at.pop(name, None) is not None:
            self._alarms.end_soon(ACCOUNT_THROTTLED, self._subject(name))

    def _alarm(self, binds: AccountBinds, now: float) -> None:
        name, throttling = binds.account.name, binds.throttling
        subject, detail = self._subject(name), f"{throttling.describe()}. {ADVICE}"
        if not throttling.held:
            # Without an entry: one that this slot has raised in a run before may be open, and nobody else ends it.
            if self._renewed_at.get(name, now) is not None:
                self._alarms.end_soon(ACCOUNT_THROTTLED, subject)
            self._renewed_at[name] = None
            return
        renewed_at = self._renewed_at.get(name)
        if renewed_at is None:
            self._alarms.raise_soon(ACCOUNT_THROTTLED, subject, detail)
        elif now - renewed_at < RENEW_SECONDS:
            return
        else:
            self._alarms.renew_soon(ACCOUNT_THROTTLED, subject, detail)
        self._renewed_at[name] = now

    def _subject(self, account: str) -> str:
        return f"{account}, sender {self._slot}"


def _subject_of(account: str) -> str:
    """Under which `/readyz` says that an account is slowed."""
    return f"rate of account {account}"
