"""Which accounts of a route are poor: far more errors, or far later receipts, than the best one."""

from collections.abc import Sequence

import structlog

from broadcast.sending.accounts.binds import AccountBinds
from broadcast.sending.accounts.selection import find_failing, find_slow

log = structlog.get_logger(__name__)


class PoorWatch:
    """Compares the accounts of a route, and sets `poor` of each."""

    def __init__(self) -> None:
        self._failing: frozenset[str] = frozenset()
        self._slow: frozenset[str] = frozenset()

    def look(self, accounts: Sequence[AccountBinds], now: float) -> None:
        """Compare the accounts at `now`, monotonic seconds."""
        measures = {binds.account.name: binds.measures.read(now) for binds in accounts}
        self._failing = find_failing(measures, self._failing)
        self._slow = find_slow(measures, self._slow)
        for binds in accounts:
            name = binds.account.name
            poor = name in self._failing or name in self._slow
            if poor != binds.poor:
                measure = measures[name]
                log.warning(
                    "account_compared",
                    account=name,
                    poor=poor,
                    error_share=round(measure.error_share, 3),
                    receipt_seconds=measure.receipt_delay,
                )
                binds.poor = poor
