"""Which accounts an SMSC throttles, and how much: on `/readyz`, as metrics, and for long as an alarm."""

from contextlib import suppress
from typing import Final

from broadcast import metrics
from broadcast.alarms import ACCOUNT_THROTTLED, Alarms
from broadcast.health import Health
from broadcast.sending.accounts.binds import AccountBinds
from broadcast.sending.accounts.watch.account_alarms import AccountAlarms

ADVICE: Final = "Ask the operator of the SMSC which rate it allows, and correct rate_per_second (docs/how-to/alarms.md)"


class ThrottleWatch:
    """Watches the rates of the accounts of a route; `slot` names this sender among the others."""

    def __init__(self, slot: str, health: Health, alarms: Alarms) -> None:
        self._health: Final = health
        self._alarms: Final = AccountAlarms(ACCOUNT_THROTTLED, slot, alarms)

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
        self._alarms.tell(name, f"{throttling.describe()}. {ADVICE}" if throttling.held else "", now)

    def forget(self, name: str) -> None:
        """End what was said of an account that is removed."""
        self._health.release(_subject_of(name))
        for gauge in (metrics.account_throttled_ratio, metrics.account_rate, metrics.account_rate_limit):
            with suppress(KeyError):
                gauge.remove(name)
        self._alarms.forget(name)


def _subject_of(account: str) -> str:
    """Under which `/readyz` says that an account is slowed."""
    return f"rate of account {account}"
