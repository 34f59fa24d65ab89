"""Chunks of an audience: their digests and chain as pure functions, and reading one as columns."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from broadcast.database import Connection
from broadcast.errors import BroadcastError

GENESIS = bytes(32)
"""The chain before the first chunk, and the chain of an audience without chunks."""

READ = """
WITH changed AS MATERIALIZED (
    SELECT DISTINCT ON (number_changes.recipient_id) number_changes.recipient_id AS id, number_changes.msisdn
    FROM chunks JOIN audiences USING (alert_id) JOIN number_changes ON recipient_id BETWEEN first_id AND last_id
    WHERE alert_id = $1 AND chunk = $2 AND NOT pg_visible_in_snapshot(changed_by, audiences.snapshot)
    ORDER BY number_changes.recipient_id, number_changes.id
)
SELECT array_agg(ids.id) FILTER (WHERE recipient.msisdn IS NOT NULL),
       array_agg(recipient.msisdn) FILTER (WHERE recipient.msisdn IS NOT NULL),
       array_agg(recipient.language) FILTER (WHERE recipient.msisdn IS NOT NULL),
       array_agg(ids.id) FILTER (WHERE recipient.msisdn IS NULL),
       EXISTS (SELECT FROM chunks WHERE alert_id = $1 AND chunk = $2),
       (SELECT array_agg(id) FROM changed), (SELECT array_agg(msisdn) FROM changed),
       EXISTS (SELECT FROM alerts WHERE alert_id = $1 AND expanded_at IS NOT NULL AND completed_at IS NOT NULL)
FROM unnest((SELECT recipients FROM chunks WHERE alert_id = $1 AND chunk = $2)) AS ids (id)
LEFT JOIN LATERAL (
    SELECT msisdn, language FROM recipients WHERE recipients.id = ids.id OFFSET 0
) AS recipient ON true
WHERE ids.id NOT IN (
    SELECT reason.key::bigint FROM chunks, jsonb_each_text(chunks.suppressed) AS reason
    WHERE alert_id = $1 AND chunk = $2
)
"""
# OFFSET 0 keeps the lookup a nested loop over the primary key, whatever the statistics say: a chunk may be
# 5,000 neighbours or 5,000 people spread over millions, and both must cost the same few microseconds each.
# The first change that the resolution did not see has the number that it saw: no number is in two chunks, whatever an
# import does between two of them. An audience without a snapshot was resolved by an older release.


class ChunkError(BroadcastError):
    """A chunk cannot be read: it is not stored, or each of its recipients has an outcome already."""


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """One chunk as columns of equal length, ids ascending, the suppressed left out.

    `msisdns` are those of the instant at which the audience was resolved, E.164 with the plus sign; `languages` BCP 47
    tags or None. `missing` are ids in the chunk who have been erased since, or whose number another person had who was.
    """

    recipient_ids: list[int]
    msisdns: list[str]
    languages: list[str | None]
    missing: list[int]


def chunk_text(alert_id: UUID, chunk: int, recipients: Iterable[int], suppressed: Mapping[int, str]) -> str:
    """What a digest covers, in four lines, each ended by a line feed.

    The alert id in its canonical form; the chunk's number from 0; the ids in ascending order, joined by commas;
    the suppressed as a JSON object of id to reason, ids in ascending order, with `", "` and `": "` between, not
    escaped beyond what JSON demands. Encoded as UTF-8, `sha256sum` gives the digest.
    """
    reasons = {str(recipient_id): suppressed[recipient_id] for recipient_id in sorted(suppressed)}
    return f"{alert_id}\n{chunk}\n{','.join(map(str, recipients))}\n{json.dumps(reasons, ensure_ascii=False)}\n"


def chunk_digest(alert_id: UUID, chunk: int, recipients: Iterable[int], suppressed: Mapping[int, str]) -> bytes:
    """The SHA-256, 32 bytes, of `chunk_text` in UTF-8: equal to `chunks.digest` unless somebody changed the chunk."""
    return sha256(chunk_text(alert_id, chunk, recipients, suppressed).encode()).digest()


def chain(previous: bytes, digest: bytes) -> bytes:
    """The next link: SHA-256 of the chain before and this digest, 32 bytes each; `GENESIS` before the first."""
    return sha256(previous + digest).digest()


def read_reasons(suppressed: str | dict[str, str]) -> dict[int, str]:
    """The reasons of a chunk's suppressed recipients; asyncpg gives jsonb as text unless told otherwise."""
    reasons = json.loads(suppressed) if isinstance(suppressed, str) else suppressed
    return {int(recipient_id): reason for recipient_id, reason in reasons.items()}


def put_back(rows: ChunkRows, before: Mapping[int, str | None]) -> ChunkRows:
    """The chunk with the numbers of its resolution; `before` has those of who got another one since.

    Who had a number of a person who was erased since is `missing`. Pure.
    """
    if not before:
        return rows
    msisdns = [before.get(one, msisdn) for one, msisdn in zip(rows.recipient_ids, rows.msisdns, strict=True)]
    kept = [place for place, msisdn in enumerate(msisdns) if msisdn is not None]
    return ChunkRows(
        [rows.recipient_ids[place] for place in kept],
        [msisdn for msisdn in msisdns if msisdn is not None],
        [rows.languages[place] for place in kept],
        sorted([*rows.missing, *(rows.recipient_ids[place] for place, each in enumerate(msisdns) if each is None)]),
    )


async def read_chunk(connection: Connection, alert_id: UUID, chunk: int) -> ChunkRows:
    """The people of one stored chunk, in one query; ChunkError if it is not stored, or its alert is finished."""
    row = await connection.fetchrow(READ, alert_id, chunk)
    assert row is not None  # noqa: S101 (an aggregate without GROUP BY always gives one row)
    recipient_ids, msisdns, languages, missing, stored, changed, before, finished = row
    if not stored:
        raise ChunkError(f"chunk {chunk} of alert {alert_id} is not stored: resolve its audience first")
    if finished:
        raise ChunkError(
            f"chunk {chunk} of alert {alert_id} is not sent again: each recipient of the alert has an outcome"
        )
    rows = ChunkRows(recipient_ids or [], msisdns or [], languages or [], missing or [])
    return put_back(rows, dict(zip(changed or [], before or [], strict=True)))
