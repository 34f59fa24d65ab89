"""Joining receipts to attempts: one statement for a whole batch."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import asyncpg

from broadcast.audit.attempts.receipts import MergedReceipt
from broadcast.audit.attempts.rows import Latencies, Recipient
from broadcast.audit.chunk_states.moves import Moves
from broadcast.audit.codes import STATE_CODE_OF_RECEIPT, SUBMITTED
from broadcast.audit.errors import AmbiguousError
from broadcast.audit.outcomes.outcome_counts import (
    DELIVERED,
    LAST_SLOT,
    NO_ACCOUNT,
    SLOT_SECONDS,
    WINDOW,
    Counted,
    OutcomeCounts,
    OutcomeKey,
    slot_of,
)
from broadcast.audit.receipt_owner import fits
from broadcast.audit.undelivered import UNDELIVERED_CODES, Undelivered
from broadcast.text.counts import counted

_INPUT = """
    unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::text[], $6::bigint[])
    WITH ORDINALITY AS given(key, hash, code, at, error, evidence, number)
"""

_EVERY = f"""
    CROSS JOIN LATERAL (SELECT b.ctid FROM attempts b WHERE {fits("b", "r")} OFFSET 0) c
    WHERE a.ctid = c.ctid
"""
"""OFFSET 0 keeps the receipts outside and the index inside: planned while attempts were few, the plain join reads
all of them for every receipt, and seconds become minutes."""

_NEWEST_EARLIER = f"""
    CROSS JOIN LATERAL (
        SELECT b.ctid FROM attempts b WHERE {fits("b", "r")}
        ORDER BY b.submitted_at <= r.at DESC, b.submitted_at DESC, b.evidence_id DESC LIMIT 1
    ) c
    WHERE a.ctid = c.ctid
"""

_SINGLY = f"receipt_state IN ({', '.join(map(str, sorted(UNDELIVERED_CODES)))}) AND account = ANY ($7::int[])"
"""Only attempts whose recipient must be known, although nobody else has to be counted anew for them."""

_SLOT = f"least((milliseconds - latency) / {SLOT_SECONDS * 1000}, {LAST_SLOT})::int"
"""Slot of the submit, from what is there: integers cost next to nothing, one more instant a tenth of the join."""

_NOW = "(date_part('epoch', now()) * 1000)::bigint"
"""The server's clock in milliseconds, by which the sweep looks at the counts: that of this host may be another."""

_JOIN = f"""
WITH r AS (
    SELECT key, hash, code, at AS milliseconds, to_timestamp(at / 1000.0::float8) AS at, nullif(error, '') AS error,
        evidence, number
    FROM {{input}}
), joined AS (
    UPDATE attempts a SET
        receipt_before = a.receipt_state,
        receipt_state = greatest(a.receipt_state, r.code),
        receipt_at = CASE WHEN a.receipt_state IS NULL OR r.code > a.receipt_state THEN r.at
            WHEN r.code = a.receipt_state THEN least(a.receipt_at, r.at) ELSE a.receipt_at END,
        receipt_error = CASE WHEN a.receipt_state IS NULL OR r.code > a.receipt_state THEN r.error
            WHEN r.code < a.receipt_state OR a.receipt_at < r.at THEN a.receipt_error
            WHEN a.receipt_at > r.at THEN r.error
            ELSE nullif(greatest(coalesce(a.receipt_error, '') COLLATE "C", coalesce(r.error, '') COLLATE "C"), '') END,
        receipt_evidence = a.receipt_evidence || r.evidence
    FROM r {{which}}
    RETURNING a.alert_id, a.recipient_id, a.evidence_id, a.attempt, a.segment, a.message_key, a.only_attempt,
        a.account, a.receipt_before, a.receipt_state, r.code, r.number,
        (date_part('epoch', r.at - a.submitted_at) * 1000)::bigint AS latency, r.milliseconds
)
SELECT alert_id, account, receipt_before, receipt_state, code, {_SLOT} AS slot,
    array_agg(number) AS numbers, array_agg(latency) AS latencies, array_agg(recipient_id) AS recipients,
    true AS only_attempt, NULL::bigint AS recipient_id, NULL::bigint AS evidence_id,
    NULL::smallint AS attempt, NULL::smallint AS segment, NULL::bigint AS message_key, {_NOW} AS now
FROM joined WHERE only_attempt AND ({_SINGLY}) IS NOT TRUE GROUP BY 1, 2, 3, 4, 5, 6
UNION ALL
SELECT alert_id, account, receipt_before, receipt_state, code, {_SLOT},
    ARRAY[number], ARRAY[latency], ARRAY[recipient_id],
    only_attempt, recipient_id, evidence_id, attempt, segment, message_key, {_NOW}
FROM joined WHERE NOT only_attempt OR ({_SINGLY}) IS TRUE
"""

_JOIN_ONLY = _JOIN.format(input=_INPUT, which=_EVERY)
_JOIN_NEWEST = _JOIN.format(input=_INPUT, which=_NEWEST_EARLIER)

RowKey = tuple[str, int, int, int, int, int]
"""An attempt's alert id, recipient id, evidence id, attempt, segment and message key."""


class Joined(NamedTuple):
    """What receipts did to attempts.

    `moves` are those of only attempts. `needs_recount` are the recipients of the others, and `before` says which
    receipt's code (or none) those attempts had. `unmatched` have no attempt (yet). `latencies` are those of receipts
    that were the first of their attempt; `repeated` counts the others by account and code. `undelivered` are those
    whose attempt is undelivered, of the accounts that were asked for. `outcomes` counts receipts of recent submits.
    """

    moves: Moves
    needs_recount: set[Recipient]
    before: dict[RowKey, int | None]
    unmatched: list[MergedReceipt]
    latencies: Latencies
    repeated: Counter[tuple[int | None, int]]
    undelivered: set[Undelivered]
    outcomes: OutcomeCounts


def _nothing_joined() -> Joined:
    return Joined({}, set(), {}, [], {}, Counter(), set(), Counter())


async def join(
    connection: asyncpg.Connection,
    receipts: Sequence[MergedReceipt],
    *,
    exact: bool,
    undelivered_of: Collection[int] = (),
) -> Joined:
    """Write receipts into their attempts, inside the caller's transaction; rows are locked in ascending order of keys.

    The usual statement takes 7 µs of PostgreSQL for a receipt and cannot choose: it raises `AmbiguousError` where
    several attempts fit. With `exact` (10 µs) each goes to the newest earlier submit. `undelivered_of` are the accounts
    whose undelivered recipients are to be named.
    """
    joined = _nothing_joined()
    for number in range(max((len(one.evidence_ids) for one in receipts), default=0)):
        # A statement updates a row only once, so several segments with receipts of one message need several statements.
        rest = [one._replace(evidence_ids=one.evidence_ids[number:]) for one in receipts] if number else receipts
        ordered = sorted(one for one in rest if one.evidence_ids)
        part = await _join_once(connection, ordered, undelivered_of, exact=exact)
        for move, recipients in part.moves.items():
            joined.moves.setdefault(move, []).extend(recipients)
        joined.needs_recount.update(part.needs_recount)
        joined.repeated.update(part.repeated)
        joined.undelivered.update(part.undelivered)
        joined.outcomes.update(part.outcomes)
        for kind, latencies in part.latencies.items():
            joined.latencies.setdefault(kind, []).extend(latencies)
        joined = joined._replace(before=part.before | joined.before)
        if number == 0:
            joined.unmatched.extend(part.unmatched)
    return joined


async def _join_once(
    connection: asyncpg.Connection, ordered: Sequence[MergedReceipt], undelivered_of: Collection[int], *, exact: bool
) -> Joined:
    exact = exact or any(one.number_hash == 0 for one in ordered)
    rows = await connection.fetch(
        _JOIN_NEWEST if exact else _JOIN_ONLY,
        [one.message_key for one in ordered],
        [one.number_hash for one in ordered],
        [one.code for one in ordered],
        [one.received_at for one in ordered],
        [one.error for one in ordered],
        [one.evidence_ids[0] for one in ordered],
        list(undelivered_of),
    )
    joined = _nothing_joined()
    matched: set[int] = set()
    total = 0
    oldest = slot_of(rows[0]["now"] - WINDOW // timedelta(milliseconds=1)) if rows else 0
    for row in rows:
        alert_id, was, now, numbers = str(row["alert_id"]), row["receipt_before"], row["receipt_state"], row["numbers"]
        matched.update(numbers)
        total += len(numbers)
        if was != now and row["slot"] is not None and row["slot"] >= oldest:
            joined.outcomes.update(_count_receipts(row, ordered))
        kind = row["account"], row["code"]
        if was is None:
            joined.latencies.setdefault(kind, []).extend(row["latencies"])
        else:
            joined.repeated[kind] += len(numbers)
        if row["recipient_id"] is not None and now in UNDELIVERED_CODES and row["account"] in undelivered_of:
            joined.undelivered.add((alert_id, row["recipient_id"], row["account"]))
        if row["only_attempt"]:
            before = SUBMITTED if was is None else STATE_CODE_OF_RECEIPT[was]
            move = alert_id, before, STATE_CODE_OF_RECEIPT[now]
            joined.moves.setdefault(move, []).extend(row["recipients"])
        else:
            joined.needs_recount.add((alert_id, row["recipient_id"]))
            key = (
                alert_id,
                row["recipient_id"],
                row["evidence_id"],
                row["attempt"],
                row["segment"],
                row["message_key"],
            )
            joined.before[key] = was
    if total != len(matched):
        raise AmbiguousError(f"{counted(total - len(matched), 'attempt')} with one message key and number hash")
    joined.unmatched.extend(one for number, one in enumerate(ordered, 1) if number not in matched)
    return joined


def _count_receipts(row: asyncpg.Record, ordered: Sequence[MergedReceipt]) -> OutcomeCounts:
    submit = OutcomeKey(str(row["alert_id"]), row["account"] or NO_ACCOUNT, row["slot"], Counted.RECEIPT, 0, "")
    numbers, was, now = row["numbers"], row["receipt_before"], row["receipt_state"]
    counts: OutcomeCounts = Counter()
    if now == DELIVERED:
        counts[submit.of_receipt(now, "")] += len(numbers)
    else:
        for error, count in Counter(ordered[number - 1].error for number in numbers).items():
            counts[submit.of_receipt(now, error)] += count
    if was is not None:
        # Which error the one before had is not known: the sum of its state is right.
        counts[submit.of_receipt(was, "")] -= len(numbers)
    return counts


async def delete_parked(connection: asyncpg.Connection, joined: Iterable[MergedReceipt]) -> bool:
    """Delete parked receipts that were joined, inside the caller's transaction; false if one is already gone.

    Deletes only what is known here: another recorder may have parked one more for the same message. OFFSET 0 for the
    same reason as in `_EVERY`: planned while few were parked, 20,000 took a minute.
    """
    ordered = sorted({(one.message_key, one.number_hash, number) for one in joined for number in one.evidence_ids})
    if not ordered:
        return True
    deleted: int = await connection.fetchval(
        """
        WITH deleted AS (
            DELETE FROM parked_receipts p
            USING unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS t(key, hash, evidence) CROSS JOIN LATERAL (
                SELECT q.ctid FROM parked_receipts q
                WHERE q.message_key = t.key AND q.number_hash = t.hash AND q.evidence_id = t.evidence OFFSET 0
            ) c
            WHERE p.ctid = c.ctid RETURNING true
        )
        SELECT count(*) FROM deleted
        """,
        [key for key, _, _ in ordered],
        [number for _, number, _ in ordered],
        [evidence_id for _, _, evidence_id in ordered],
    )
    return deleted == len(ordered)


async def park(connection: asyncpg.Connection, unmatched: Sequence[MergedReceipt], accounts: Mapping[str, int]) -> None:
    """Insert receipts whose attempt is not known (yet), inside the caller's transaction; `accounts` are their ids."""
    if not unmatched:
        return
    await connection.copy_records_to_table(
        "parked_receipts",
        columns=("message_key", "number_hash", "evidence_id", "received_at", "state", "error", "account", "by_text"),
        records=[
            (
                *(one.message_key, one.number_hash, evidence_id, one.received_at, one.code, one.error or None),
                *(accounts.get(one.account.replace("\0", "")), one.by_text),
            )
            for one in unmatched
            for evidence_id in one.evidence_ids
        ],
    )
