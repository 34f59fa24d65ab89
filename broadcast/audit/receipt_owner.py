"""Which attempt a receipt belongs to: the rules as SQL, for whoever joins receipts and whoever checks them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import asyncpg

from broadcast.audit.codes import LOWEST_FINAL_RECEIPT
from broadcast.database import Connection

LONGEST_WAIT: Final = timedelta(days=7)
"""A receipt is not for a submit older than this: an SMSC may have used the id again. Longest expiry plus the six days
that networks keep trying. A receipt that no attempt has claimed for so long belongs to none."""

REUSED_AFTER: Final = f"{LONGEST_WAIT.days} days"

REPEATED_WITHIN: Final = "10 minutes"
"""A final receipt that says nothing new is a repetition if it comes this soon; later it may be for a message with the
same id whose status is still to come, so it is parked."""


def same_number(attempt: str, number_hash: str) -> str:
    """SQL: whether an attempt went to the number of a receipt; a receipt without a number (0) fits any."""
    return f"({attempt}.number_hash = {number_hash} OR {number_hash} = 0)"


def fits(attempt: str, receipt: str) -> str:
    """SQL: whether a receipt (`key`, `hash`, `code`, `at`) may be joined to an attempt."""
    return f"""
        {attempt}.message_key = {receipt}.key AND {same_number(attempt, f"{receipt}.hash")}
        AND {attempt}.submitted_at > {receipt}.at - interval '{REUSED_AFTER}'
        AND NOT coalesce({attempt}.receipt_state >= greatest({receipt}.code, {LOWEST_FINAL_RECEIPT})
            AND {attempt}.receipt_at < {receipt}.at - interval '{REPEATED_WITHIN}', false)
    """


FITS_BY_ID_ALONE: Final = """
    count(DISTINCT (a.alert_id, a.recipient_id, a.attempt, a.segment)) = 1 AND bool_and(a.receipt_state IS NULL)
"""
"""Whether the attempts `a` with the id of a receipt are one only, and it has none: then another number does not matter.
An SMSC may write the number otherwise than we did."""

_OWNERS = f"""
SELECT r.number, a.ctid::text AS place, a.receipt_state, a.receipt_at, coalesce(a.receipt_error, '') AS error,
    a.alert_id, a.recipient_id
FROM unnest($1::bigint[], $2::bigint[], $3::boolean[]) WITH ORDINALITY AS r(key, hash, by_text, number)
CROSS JOIN LATERAL (
    SELECT b.*, b.ctid FROM attempts b WHERE b.message_key = r.key AND $4::bigint = ANY (b.receipt_evidence)
        AND ({same_number("b", "r.hash")} OR (NOT r.by_text
            AND NOT EXISTS (SELECT FROM attempts c WHERE c.message_key = r.key AND c.number_hash = r.hash)
            AND NOT EXISTS (SELECT FROM unmatched_receipts p
                WHERE p.message_key = r.key AND p.number_hash = r.hash AND p.evidence_id = $4)))
    LIMIT 1
) a
"""
"""LIMIT keeps the receipts outside and the index inside, as OFFSET 0 does elsewhere."""


async def find_owners(
    connection: Connection, evidence_id: int, receipts: Sequence[tuple[int, int, bool]]
) -> list[asyncpg.Record | None]:
    """The attempt that has each receipt of one evidence segment; None where no attempt has it.

    A receipt is (message key, number hash, by text). One id may belong to several numbers, so an attempt to the
    receipt's number has it; and another one only if it was joined by its id alone.
    """
    owners: list[asyncpg.Record | None] = [None] * len(receipts)
    columns = ([one[place] for one in receipts] for place in range(3))
    for row in await connection.fetch(_OWNERS, *columns, evidence_id):
        owners[row["number"] - 1] = row
    return owners
