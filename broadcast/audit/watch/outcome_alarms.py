"""Watching how many submits fail or reach nobody: alarms for alerts, accounts and operators."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import asyncpg
import structlog

from broadcast import metrics
from broadcast.alarms import ACCOUNT_FAILING, ALERT_FAILING, BY_RECORDER, OPERATOR_FAILING, end_alarm, renew_alarm
from broadcast.alerts.trial import SENDER
from broadcast.audit.attempts.accounts import account_names
from broadcast.audit.codes import REACHED_COUNT
from broadcast.audit.outcomes.outcome_counts import WINDOW, Counted, OutcomeKey, delete_outcomes, slot_at
from broadcast.audit.outcomes.shares import ENOUGH, Limits, Scope, Tally, WatchedAccount, add_up, assess, describe
from broadcast.audit.watch.finishing import WITHDRAWN
from broadcast.errors import SettingsError
from broadcast.routes_file import load_routes
from broadcast.routing import Route
from broadcast.settings import Settings
from schemas.receipt import ReceiptState

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 5.0
"""Between two looks."""

KIND_OF_SCOPE: Final = {
    Scope.ALERT: ALERT_FAILING,
    Scope.ACCOUNT: ACCOUNT_FAILING,
    Scope.OPERATOR: OPERATOR_FAILING,
}

_COUNTS = """
SELECT o.alert_id::text, o.account, o.slot, o.counted, o.code, o.error, sum(o.count)::bigint AS count
FROM outcome_counts o WHERE o.slot >= $1 GROUP BY 1, 2, 3, 4, 5, 6
"""

_CLEARED = """
SELECT kind, subject, max(cleared_at) AS cleared_at FROM alarms
WHERE kind = ANY ($1::text[]) AND cleared_at > $2 AND cleared_by <> $3 GROUP BY 1, 2
"""

_OPEN = "SELECT kind, subject FROM alarms WHERE kind = ANY ($1::text[]) AND cleared_at IS NULL"

_UNWATCHED = """
SELECT alert_id::text FROM alerts WHERE alert_id = ANY ($1::text[]::uuid[])
    AND (status = 'Test' AND sender = $2 OR state = ANY ($3::text[]) OR stopped_at IS NOT NULL)
"""

_REACHED = f"""
SELECT {REACHED_COUNT} AS reached, a.audience
FROM alerts a LEFT JOIN counters c ON c.alert_id = a.alert_id WHERE a.alert_id = $1::text::uuid GROUP BY a.audience
"""


class OutcomeWatch:
    """Looks at the outcomes of the last minutes, by the limits of the settings and the accounts of the routes."""

    def __init__(self, settings: Settings, routes: Iterable[Route]) -> None:
        self._limits: Final = Limits(
            settings.failed_share_limit, settings.unreached_share_limit, settings.receipt_wait_seconds
        )
        self._settings: Final = settings
        self._changed_at = _changed_at(settings.routes_file)
        self.accounts: dict[str, WatchedAccount] = {}
        self._take(routes)

    def _take(self, routes: Iterable[Route]) -> None:
        self.accounts = {
            account.name: WatchedAccount(account.name, account.operator_name, account.receipts)
            for route in routes
            for account in route.accounts
        }
        metrics.begin(metrics.receipts, self.accounts, ReceiptState, ("matched", "early"))
        metrics.begin(metrics.receipt_duration, self.accounts, ReceiptState)

    def refresh(self) -> None:
        """Read the routes file again if it has changed: senders do so in mid broadcast. A wrong one changes nothing."""
        changed_at = _changed_at(self._settings.routes_file)
        if changed_at in (None, self._changed_at):
            return
        self._changed_at = changed_at
        try:
            self._take(load_routes(self._settings))
        except SettingsError as error:
            log.warning("routes_not_read", error=str(error))

    async def look(self, connection: asyncpg.Connection, now: datetime) -> None:
        """Raise, renew and end the alarms of every subject with submits in the window; set the shares of accounts."""
        self.refresh()
        rows = await connection.fetch(_COUNTS, slot_at(now - WINDOW))
        counts = [(OutcomeKey(row[0], row[1], row[2], Counted(row[3]), row[4], row[5]), row["count"]) for row in rows]
        names = await account_names(connection)
        accounts = {number: self.accounts.get(name, WatchedAccount(name, name)) for number, name in names.items()}
        kinds = list(KIND_OF_SCOPE.values())
        cleared_rows = await connection.fetch(_CLEARED, kinds, now - WINDOW, BY_RECORDER)
        open_rows = await connection.fetch(_OPEN, kinds)
        opened = {(row["kind"], row["subject"]) for row in open_rows}
        for scope, kind in KIND_OF_SCOPE.items():
            cleared = {row["subject"]: row["cleared_at"] for row in cleared_rows if row["kind"] == kind}
            tallies = add_up(counts, scope, now=now, limits=self._limits, accounts=accounts, cleared=cleared)
            unwatched = await self._end_unwatched(connection, scope, tallies, opened)
            watched = {subject: tally for subject, tally in tallies.items() if subject not in unwatched}
            await self._assess_all(connection, scope, watched, opened, now)
            if scope is Scope.ACCOUNT:
                show_shares(tallies)

    async def _end_unwatched(
        self,
        connection: asyncpg.Connection,
        scope: Scope,
        tallies: Mapping[str, Tally],
        opened: set[tuple[str, str]],
    ) -> set[str]:
        """Subjects that nobody is to be warned of; an open alarm about a withdrawn alert ends."""
        match scope:
            case Scope.ALERT:
                # Whoever sends a test message watches its outcome; a withdrawn alert is to reach nobody.
                open_alerts = {subject for kind, subject in opened if kind == ALERT_FAILING}
                rows = await connection.fetch(_UNWATCHED, sorted({*tallies, *open_alerts}), SENDER, sorted(WITHDRAWN))
                unwatched = {row[0] for row in rows}
                for subject in sorted(unwatched & open_alerts):
                    await end_alarm(connection, ALERT_FAILING, subject, BY_RECORDER)
                return unwatched
            case Scope.OPERATOR:
                # With one account the account's own alarm says the same.
                return {subject for subject, tally in tallies.items() if len(tally.accounts) <= 1}
        return set()

    async def _assess_all(
        self,
        connection: asyncpg.Connection,
        scope: Scope,
        tallies: Mapping[str, Tally],
        opened: set[tuple[str, str]],
        now: datetime,
    ) -> None:
        kind = KIND_OF_SCOPE[scope]
        for subject, tally in tallies.items():
            assessment = assess(tally, scope, self._limits, now)
            if assessment.failing:
                detail = describe(tally, self._limits)
                if scope is Scope.ALERT:
                    row = await connection.fetchrow(_REACHED, subject)
                    if row is not None and row["audience"] is not None:
                        detail = f"{row['reached']:,} of {row['audience']:,} recipients are reached. {detail}"
                await renew_alarm(connection, kind, subject, detail)
            elif assessment.fine and (kind, subject) in opened:
                await end_alarm(connection, kind, subject, BY_RECORDER)


def _changed_at(routes_file: Path | None) -> int | None:
    try:
        return None if routes_file is None else routes_file.stat().st_mtime_ns
    except OSError:
        return None


def show_shares(tallies: Mapping[str, Tally]) -> None:
    """Set the shares of every account with enough submits in the window, and remove those of the others."""
    metrics.account_failed_ratio.clear()
    metrics.account_unreached_ratio.clear()
    for name, tally in tallies.items():
        if tally.submits >= ENOUGH:
            metrics.account_failed_ratio.labels(name).set(tally.failed_share)
        if tally.old >= ENOUGH:
            metrics.account_unreached_ratio.labels(name).set(tally.unreached_share)


async def forget_old(connection: asyncpg.Connection, now: datetime) -> None:
    """Delete counts that nobody looks at."""
    await delete_outcomes(connection, now)
