"""Recipients who were noted as undelivered: looked at, and claimed before their jobs are written to Kafka."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import structlog

from broadcast.audit.coverage import Part
from broadcast.lifecycle import AlertState
from broadcast.pii import number_hash
from broadcast.rerouting.decision import AlertFacts, Decision, Noted, decide, highest_attempt
from schemas.lane import Lane

log = structlog.get_logger(__name__)

AT_ONCE: Final = 500
"""Most recipients of one transaction."""

OTHER_NUMBER: Final = "the directory has another number than the attempts were sent to, which may be another person's"

WAIT: Final = timedelta(seconds=5)
"""Before somebody is looked at again who is queued."""

DOUBT: Final = timedelta(seconds=10)
"""Before a claim that was not finished is looked at again: if its job was written, its outcome is known by then."""

_DUE = """
SELECT u.alert_id::text, u.recipient_id, u.route, u.attempt, u.claimed_at IS NOT NULL AS claimed,
    p.msisdn, p.language, p.suppressed
FROM undelivered u LEFT JOIN recipients p ON p.id = u.recipient_id
WHERE u.sent_at IS NULL AND u.due_at <= now() AND u.route = ANY ($1::text[])
ORDER BY u.due_at LIMIT $2 FOR UPDATE OF u
"""

_ALERTS = (
    "SELECT alert_id::text, state, lane, expires_at, stopped_at FROM alerts WHERE alert_id = ANY ($1::text[]::uuid[])"
)

_ATTEMPTS = """
SELECT t.alert_id, t.recipient_id, a.attempt, a.submitted_at, a.segment, a.segments, a.outcome,
    a.receipt_state AS receipt, a.account, a.receipt_covers_message AS covers,
    a.number_hash
FROM unnest($1::text[], $2::bigint[]) AS t(alert_id, recipient_id) CROSS JOIN LATERAL (
    SELECT * FROM attempts b WHERE b.alert_id = t.alert_id::uuid AND b.recipient_id = t.recipient_id OFFSET 0
) a
"""
"""OFFSET 0 keeps the index inside, whatever the statistics say."""

_THOSE = "unnest($1::text[], $2::bigint[]) AS t(a, r) WHERE u.alert_id = t.a::uuid AND u.recipient_id = t.r"

_DROP = f"DELETE FROM undelivered u USING {_THOSE} AND u.claimed_at IS NULL"
_DROP_CLAIMED = f"UPDATE undelivered u SET sent_at = u.claimed_at FROM {_THOSE} AND u.claimed_at IS NOT NULL"
"""A copy may have been written: nobody gets another one."""

_POSTPONE = f"UPDATE undelivered u SET due_at = now() + $3::interval FROM {_THOSE}"
_CLAIM = """
UPDATE undelivered u SET claimed_at = coalesce(u.claimed_at, now()), attempt = t.attempt, due_at = now() + $4::interval
FROM unnest($1::text[], $2::bigint[], $3::smallint[]) AS t(a, r, attempt)
WHERE u.alert_id = t.a::uuid AND u.recipient_id = t.r
"""
_FINISH = f"UPDATE undelivered u SET sent_at = now() FROM {_THOSE}"


@dataclass(frozen=True, slots=True)
class Claim:
    """One recipient who is to get a new copy, by `route`; nobody knows of a `possible_duplicate` whether they got it.

    `attempt` is the number of the new copy; `msisdn` is E.164, `language` a BCP 47 tag or None.
    """

    alert_id: str
    recipient_id: int
    msisdn: str
    language: str | None
    route: str
    lane: Lane
    attempt: int
    possible_duplicate: bool


@dataclass(frozen=True, slots=True)
class Look:
    """Who was claimed of those that were looked at, and how many these were."""

    claims: list[Claim]
    count: int


async def claim(connection: asyncpg.Connection, routes: Sequence[str], now: datetime, *, number_key: bytes) -> Look:
    """Look at those who are due for one of these routes, in one transaction.

    The claims are on disk when it returns; `now` is an aware instant, for the expiry of alerts. Rows are locked before
    their attempts are read, so a receipt that is recorded meanwhile notes its recipient anew. `number_key` is that of
    number hashes: who has another number than their attempts gets nothing, which is logged.
    """
    async with connection.transaction():
        await connection.execute("SET LOCAL synchronous_commit = on")
        due = await connection.fetch(_DUE, list(routes), AT_ONCE)
        if not due:
            return Look([], 0)
        ids = [row["alert_id"] for row in due], [row["recipient_id"] for row in due]
        alerts = {row["alert_id"]: row for row in await connection.fetch(_ALERTS, list(set(ids[0])))}
        attempts: dict[tuple[str, int], list[Part]] = defaultdict(list)
        hashes: dict[tuple[str, int], set[int]] = defaultdict(set)
        for row in await connection.fetch(_ATTEMPTS, *ids):
            part = Part._make(row[name] for name in Part._fields)
            attempts[row["alert_id"], row["recipient_id"]].append(part)
            hashes[row["alert_id"], row["recipient_id"]].add(row["number_hash"])
        claims: list[Claim] = []
        others: dict[Decision, list[tuple[str, int]]] = {Decision.DROP: [], Decision.WAIT: []}
        other_numbers = 0
        for row in due:
            person = row["alert_id"], row["recipient_id"]
            alert, parts = alerts.get(row["alert_id"]), attempts[person]
            decision = Decision.DROP
            if alert is not None:
                number = row["msisdn"]
                other = number is not None and number_hash(number_key, number.encode()) not in hashes[person]
                other_numbers += other
                noted = Noted(row["msisdn"], row["suppressed"], row["attempt"], other)
                facts = AlertFacts(AlertState(alert["state"]), alert["expires_at"], alert["stopped_at"] is not None)
                decision = decide(noted, facts, parts, now)
            if decision is Decision.SEND and alert is not None:
                lane, attempt = Lane(alert["lane"]), highest_attempt(parts) + 1
                claims.append(
                    Claim(*person, row["msisdn"], row["language"], row["route"], lane, attempt, row["claimed"])
                )
            else:
                others[decision].append(person)
        await _store(connection, claims, others)
    if other_numbers:
        log.warning("copies_refused", count=other_numbers, reason=OTHER_NUMBER)
    return Look(claims, len(due))


async def finish(connection: asyncpg.Connection, claims: Sequence[Claim]) -> None:
    """Note that the jobs of these claims are in Kafka."""
    await connection.execute(_FINISH, *_columns([(one.alert_id, one.recipient_id) for one in claims]))


async def _store(
    connection: asyncpg.Connection, claims: Sequence[Claim], others: dict[Decision, list[tuple[str, int]]]
) -> None:
    if others[Decision.DROP]:
        await connection.execute(_DROP_CLAIMED, *_columns(others[Decision.DROP]))
        await connection.execute(_DROP, *_columns(others[Decision.DROP]))
    if others[Decision.WAIT]:
        await connection.execute(_POSTPONE, *_columns(others[Decision.WAIT]), WAIT)
    if claims:
        people = _columns([(one.alert_id, one.recipient_id) for one in claims])
        await connection.execute(_CLAIM, *people, [one.attempt for one in claims], DOUBT)


def _columns(people: Sequence[tuple[str, int]]) -> tuple[list[str], list[int]]:
    return [alert_id for alert_id, _ in people], [recipient_id for _, recipient_id in people]
