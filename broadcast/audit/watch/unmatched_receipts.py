"""Watching receipts that met no attempt: metrics, and an alarm that names the id rule to set."""

from datetime import datetime, timedelta
from typing import Final

import asyncpg

from broadcast import metrics
from broadcast.alarms import BY_RECORDER, RECEIPTS_UNMATCHED, renew_alarm
from broadcast.audit.receipt_owner import LONGEST_WAIT
from broadcast.audit.receipts.unmatched import ANSWER_MAY_COME, NAMES_NO_ATTEMPT, find_unmatched
from broadcast.text.counts import counted

LOOKED_AT: Final = timedelta(minutes=10)
"""Receipts of this time are compared: the sweep looks once a minute, and must not miss a burst."""

SUBMITTED_WITHIN: Final = timedelta(days=1)
"""Of the submits whose receipts are counted: nearly all receipts come within a day."""

FEWEST: Final = 20
LARGE_SHARE: Final = 0.2
"""Of an account's receipts; a sender that is killed loses fewer answers than that."""

_AGES = """
SELECT coalesce(n.name, '') AS account, CASE WHEN p.parked_at < $1::timestamptz - interval '1 day' THEN '1d'
    WHEN p.parked_at < $1 - interval '1 hour' THEN '1h' WHEN p.parked_at < $1 - interval '1 minute' THEN '1m'
    ELSE '0m' END AS age, count(*) AS count
FROM parked_receipts p LEFT JOIN accounts n ON n.id = p.account
WHERE p.parked_at > $2 GROUP BY 1, 2
"""

SAMPLE: Final = 5_000
"""Parked receipts of an account of which it is looked up whether they name an attempt."""

_RECENT = """
SELECT p.account, n.name, count(*) AS count FROM parked_receipts p JOIN accounts n ON n.id = p.account
WHERE p.parked_at BETWEEN $1 AND $2
GROUP BY 1, 2 HAVING count(*) >= $3
"""

_NAMELESS = f"""
SELECT count(*) AS sampled, count(*) FILTER (WHERE {NAMES_NO_ATTEMPT}) AS nameless FROM (
    SELECT message_key, number_hash FROM parked_receipts
    WHERE account = $1 AND parked_at BETWEEN $2 AND $3 LIMIT {SAMPLE}
) p
"""

_SINCE = "SELECT count(*) FROM parked_receipts WHERE account = $1 AND parked_at BETWEEN $2 AND $3"

_END = "UPDATE alarms SET cleared_at = now(), cleared_by = $2 WHERE id = $1 AND cleared_at IS NULL"

_OPEN = "SELECT id, subject FROM alarms WHERE kind = $1 AND cleared_at IS NULL"

_CLEARED = "SELECT subject, max(cleared_at) AS cleared_at FROM alarms WHERE kind = $1 AND cleared_at > $2 GROUP BY 1"

_MATCHED = """
SELECT count(*) FROM (
    SELECT FROM attempts
    WHERE account = $1 AND submitted_at > $2 AND receipt_at BETWEEN $3 AND $4 LIMIT $5
) matched
"""


async def show_unmatched(connection: asyncpg.Connection, now: datetime) -> None:
    """Set the metrics of parked receipts, of those that an attempt may still claim."""
    rows = await connection.fetch(_AGES, now, now - LONGEST_WAIT)
    metrics.receipts_parked.set(sum(row["count"] for row in rows))
    metrics.receipts_unmatched.clear()
    for row in rows:
        if row["age"] != "0m":
            metrics.receipts_unmatched.labels(row["account"], row["age"]).set(row["count"])


async def alarm_unmatched(connection: asyncpg.Connection, now: datetime) -> None:
    """Raise an alarm for each account that has too many receipts which name no message for a minute.

    One that is open gets the newest counts and advice, and ends when few were read with the rule in force.
    Receipts from before another rule was set raise none, nor do those from before an alarm of the account was cleared.
    """
    await _end_alarms(connection, now)
    begin, end = now - LOOKED_AT, now - ANSWER_MAY_COME
    rows = await connection.fetch(_CLEARED, RECEIPTS_UNMATCHED, begin)
    cleared = {row["subject"]: row["cleared_at"] for row in rows}
    for row in await connection.fetch(_RECENT, begin, end, FEWEST):
        since = max(begin, cleared.get(row["name"], begin))
        recent = row["count"]
        if since > begin:
            recent = await connection.fetchval(_SINCE, row["account"], since, end)
        [(sampled, nameless)] = await connection.fetch(_NAMELESS, row["account"], since, end)
        count = recent * nameless // max(sampled, 1)
        if count < FEWEST:
            continue
        enough = int(count / LARGE_SHARE)
        matched = await connection.fetchval(_MATCHED, row["account"], now - SUBMITTED_WITHIN, since, end, enough)
        if count < LARGE_SHARE * (count + matched):
            continue
        for found in await find_unmatched(connection, now, row["name"]):
            # Those that were read before another rule was set raise no alarm.
            count = min(count, found.by_rule_in_force)
            if count < FEWEST or count < LARGE_SHARE * (count + matched):
                continue
            await renew_alarm(
                connection,
                RECEIPTS_UNMATCHED,
                row["name"],
                f"{counted(count, 'receipt')} of account {row['name']} within {LOOKED_AT.seconds // 60} minutes "
                f"without a message that was sent, {matched} with one: {found.advice}. "
                "See `broadcast audit unmatched`.",
            )


async def _end_alarms(connection: asyncpg.Connection, now: datetime) -> None:
    for row in await connection.fetch(_OPEN, RECEIPTS_UNMATCHED):
        found = await find_unmatched(connection, now, row["subject"])
        if all(one.earlier and one.by_rule_in_force < FEWEST for one in found):
            await connection.execute(_END, row["id"], BY_RECORDER)
