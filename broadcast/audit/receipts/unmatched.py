"""Receipts that no attempt is known for, by account: how many, since when, and which id rule would match them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import msgspec

from broadcast.audit.codes import CODE_OF_OUTCOME, LOWEST_FINAL_RECEIPT
from broadcast.audit.evidence.segments import read_each
from broadcast.audit.message_key import message_key
from broadcast.audit.receipt_owner import LONGEST_WAIT, REUSED_AFTER, same_number
from broadcast.audit.receipts.id_rules import SeenId, count_matches, read_rule
from broadcast.audit.receipts.rule_in_force import decode_each, decode_receipt, read_rule_in_force
from broadcast.audit.receipts.unmatched_account import Unmatched
from broadcast.clock import instant_of
from broadcast.database import Connection
from schemas.receipt import Receipt
from schemas.status import Outcome, Status

SAMPLE: Final = 500
"""Receipts of one account that are looked at, the newest."""

STATUS_SEGMENTS: Final = 1_000
"""Evidence segments with answers to the same numbers that are looked at."""

RECORDS_READ: Final = 200_000
"""Of the segments with receipts, and of those with answers, so many records are read for one account."""

ANSWER_MAY_COME: Final = timedelta(minutes=1)
"""A receipt that waits for its submit's answer finds it within this time."""

PARTS_SETTLED: Final = timedelta(minutes=10)
"""After this time the receipts of the other parts of a message have come, if there are any."""

NAMES_NO_ATTEMPT: Final = f"""
    NOT EXISTS (SELECT FROM attempts a
        WHERE a.message_key = p.message_key AND {same_number("a", "p.number_hash")} OFFSET 0)
"""
"""A receipt that came again when its attempt had one long before is parked too, and says nothing about the rule."""

_ACCOUNTS = f"""
SELECT u.account, n.name, sum(u.count)::bigint AS count, sum(u.given_up)::bigint AS given_up,
    min(u.oldest) AS oldest, max(u.newest) AS newest
FROM accounts n JOIN (
    SELECT p.account, count(*) FILTER (WHERE p.parked_at > $3) AS count,
        count(*) FILTER (WHERE p.parked_at <= $3) AS given_up,
        min(p.received_at) AS oldest, max(p.received_at) AS newest
    FROM parked_receipts p WHERE p.parked_at < $1 AND {NAMES_NO_ATTEMPT} GROUP BY 1
    UNION ALL
    SELECT g.account, 0, count(*), min(g.received_at), max(g.received_at)
    FROM given_up_receipts g WHERE g.nameless GROUP BY 1
) u ON n.id = u.account
WHERE $2::text IS NULL OR n.name = $2 GROUP BY 1, 2 ORDER BY 2
"""

_WAITING = f"""
SELECT n.name, count(*) AS count FROM parked_receipts p JOIN accounts n ON n.id = p.account
WHERE p.parked_at >= $1 AND ($2::text IS NULL OR n.name = $2) AND {NAMES_NO_ATTEMPT} GROUP BY 1 ORDER BY 1
"""

_SAMPLE = f"""
SELECT message_key, number_hash, evidence_id FROM parked_receipts p
WHERE account = $1 AND parked_at BETWEEN $4 AND $2 AND {NAMES_NO_ATTEMPT} ORDER BY received_at DESC LIMIT $3
"""

_ACCEPTED = f"""
SELECT evidence_id, count(*) AS count FROM attempts
WHERE account = $1 AND outcome = {CODE_OF_OUTCOME[Outcome.ACCEPTED]} AND receipt_state IS NULL
    AND number_hash = ANY ($2::bigint[]) AND submitted_at > $3::timestamptz - $5::interval AND submitted_at < $4
GROUP BY 1 ORDER BY 2 DESC, max(submitted_at) DESC, 1 DESC LIMIT {STATUS_SEGMENTS}
"""

_PARTS = f"""
SELECT count(*) AS messages, count(*) FILTER (WHERE receipts = 1) AS with_one FROM (
    SELECT count(*) FILTER (WHERE receipt_state >= {LOWEST_FINAL_RECEIPT}) AS receipts
    FROM attempts
    WHERE account = $1 AND segments > 1 AND receipt_covers_message IS NULL
        AND outcome = {CODE_OF_OUTCOME[Outcome.ACCEPTED]}
        AND submitted_at BETWEEN $2::timestamptz - interval '{REUSED_AFTER}' AND $2
    GROUP BY alert_id, recipient_id HAVING count(*) = max(segments) AND count(DISTINCT segment) = max(segments)
) messages WHERE receipts > 0
"""
"""Messages of which this account took each part once: its parts may have several instants, and several attempts."""

_decode_status = msgspec.json.Decoder(Status).decode


async def find_unmatched(connection: Connection, now: datetime, account: str | None = None) -> list[Unmatched]:
    """What has been unmatched for a minute, of one account or of all, with the rules that would match it."""
    before = now - ANSWER_MAY_COME
    rows = await connection.fetch(_ACCOUNTS, before, account, now - LONGEST_WAIT)
    return [await _look_at(connection, now, row) for row in rows]


async def count_waiting(connection: Connection, now: datetime, account: str | None = None) -> dict[str, int]:
    """How many receipts of each account, or of one, wait for their submit's answer: they are under a minute old."""
    rows = await connection.fetch(_WAITING, now - ANSWER_MAY_COME, account)
    return {row["name"]: row["count"] for row in rows}


async def _look_at(connection: Connection, now: datetime, row: asyncpg.Record) -> Unmatched:
    number, name, count, given_up, oldest, newest = row
    sampled = await connection.fetch(_SAMPLE, number, now - ANSWER_MAY_COME, SAMPLE, now - LONGEST_WAIT)
    seen = await _read_newest(connection, sampled)
    in_force = await read_rule_in_force(connection, number, name)
    # What was read with an older rule says nothing about the one that is set.
    earlier = [receipt for receipt in seen.values() if receipt.id_rule != in_force]
    current = earlier[0].id_rule if len(earlier) == len(seen) > 0 else in_force
    receipts = [one for one, receipt in seen.items() if receipt.id_rule == current]
    accepted = await _accepted(connection, number, name, list(seen), _instant(oldest), _instant(newest))
    rules = count_matches(receipts, accepted, read_rule(current))
    # Ids that no rule has changed decide between rules that fit equally well.
    unchanged = [one for one, receipt in seen.items() if not receipt.id_rule]
    decided = dict(count_matches(unchanged, accepted, read_rule("")))
    rules.sort(key=lambda one: (-one[1], -decided.get(one[0], 0)))
    parts = await connection.fetchrow(_PARTS, number, now - PARTS_SETTLED)
    messages, with_one = tuple(parts) if parts is not None else (0, 0)
    return Unmatched(
        name,
        count,
        given_up,
        _instant(oldest),
        _instant(newest),
        len(receipts),
        read_rule(current),
        read_rule(in_force),
        len(earlier),
        read_rule(earlier[0].id_rule if earlier else ""),
        _instant(earlier[0].received_at) + LONGEST_WAIT if earlier else None,
        rules,
        messages,
        with_one,
    )


async def _read_newest(connection: Connection, sampled: Sequence[asyncpg.Record]) -> dict[SeenId, Receipt]:
    """The receipts at these places, the newest first."""
    wanted = {(one["message_key"], one["number_hash"]) for one in sampled}
    hashes = {number_hash for _, number_hash in wanted}
    found: list[Receipt] = []
    segments = list(dict.fromkeys(one["evidence_id"] for one in sampled))
    async for records in read_each(connection, segments, RECORDS_READ):
        for receipt in decode_each(records, decode_receipt):
            if receipt.number_hash not in hashes:
                continue
            if (message_key(receipt.account, receipt.message_id), receipt.number_hash) in wanted:
                found.append(receipt)
    found.sort(key=lambda one: -one.received_at)
    seen: dict[SeenId, Receipt] = {}
    for receipt in found:
        seen.setdefault(SeenId(receipt.message_id, receipt.number_hash), receipt)
    return seen


async def _accepted(  # noqa: PLR0917 (called once)
    connection: Connection, number: int, name: str, receipts: Sequence[SeenId], oldest: datetime, newest: datetime
) -> list[SeenId]:
    """Ids of accepted submits without a receipt to the same numbers."""
    hashes = {one.number_hash for one in receipts}
    found = []
    rows = await connection.fetch(_ACCEPTED, number, list(hashes), oldest, newest, LONGEST_WAIT)
    async for records in read_each(connection, [row["evidence_id"] for row in rows], RECORDS_READ):
        for status in decode_each(records, _decode_status):
            if status.number_hash in hashes and status.account == name and status.outcome is Outcome.ACCEPTED:
                found.append(SeenId(status.message_id, status.number_hash))
    return found


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(instant_of(milliseconds) / 1000, UTC)
