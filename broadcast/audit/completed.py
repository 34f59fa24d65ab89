"""What is recorded for an alert that was completed: submits that nothing explains, and more people than its audience.

Looked at in the transaction that records it, and only for the alerts of its batch: history is not walked.
"""

from collections.abc import Collection, Iterable
from typing import Final

from broadcast.alarms import SUBMITTED_AFTER_COMPLETION, SUM_GAP, raise_alarm
from broadcast.audit.codes import CODE_OF_OUTCOME, POSSIBLE_DUPLICATES
from broadcast.database import Connection
from broadcast.text.counts import counted
from schemas.status import Outcome, Status

_COMPLETED: Final = """
SELECT alert_id::text FROM alerts WHERE alert_id = ANY ($1::text[]::uuid[]) AND completed_at IS NOT NULL
"""

_UNEXPLAINED: Final = f"""
SELECT t.alert_id, count(DISTINCT t.recipient_id) AS recipients
FROM unnest($1::text[], $2::bigint[], $3::smallint[]) AS t(alert_id, recipient_id, attempt)
WHERE NOT EXISTS (
    SELECT FROM undelivered u WHERE u.alert_id = t.alert_id::uuid AND u.recipient_id = t.recipient_id
        AND u.attempt = t.attempt
) AND NOT EXISTS (
    SELECT FROM attempts a WHERE a.alert_id = t.alert_id::uuid AND a.recipient_id = t.recipient_id
        AND a.outcome = {CODE_OF_OUTCOME[Outcome.UNKNOWN]} AND a.evidence_id <> ALL ($4::bigint[])
) GROUP BY 1
"""
"""A new copy by another route was noted before, and what is sent again was unknown before."""

_BEYOND: Final = """
SELECT a.alert_id::text, a.audience, sum(c.count)::bigint - a.audience + a.suppressed AS beyond
FROM alerts a JOIN counters c ON c.alert_id = a.alert_id AND c.state < $2
WHERE a.alert_id = ANY ($1::text[]::uuid[]) AND a.audience IS NOT NULL
GROUP BY a.alert_id HAVING sum(c.count) > a.audience - a.suppressed
"""


async def alarm_after_completion(
    connection: Connection,
    alert_ids: Collection[str],
    statuses: Iterable[Iterable[Status]],
    own_evidence: Collection[int],
) -> None:
    """Raise alarms for what a batch added to completed alerts, inside the caller's transaction, which has counted it.

    `alert_ids` are those of the statuses, `own_evidence` the segments of this batch.
    """
    if not alert_ids:
        return
    completed = {row["alert_id"] for row in await connection.fetch(_COMPLETED, list(alert_ids))}
    if not completed:
        return
    submitted = [
        status
        for read in statuses
        for status in read
        if status.alert_id in completed and status.submitted_at and not status.late
    ]
    for row in await connection.fetch(
        _UNEXPLAINED,
        [status.alert_id for status in submitted],
        [status.recipient_id for status in submitted],
        [status.attempt for status in submitted],
        list(own_evidence),
    ):
        await raise_alarm(
            connection,
            SUBMITTED_AFTER_COMPLETION,
            row["alert_id"],
            f"{counted(row['recipients'], 'recipient')} got a message after the alert was completed, and nothing says "
            "why. Somebody may write jobs to Kafka who must not, or put old jobs back. See "
            f"`broadcast audit deliveries {row['alert_id']}`.",
        )
    for row in await connection.fetch(_BEYOND, list(completed), POSSIBLE_DUPLICATES):
        await raise_alarm(
            connection,
            SUM_GAP,
            row["alert_id"],
            f"{row['beyond']} more recipients have an outcome than the audience of {row['audience']} holds. "
            f"Run `broadcast audit summary {row['alert_id']} --exact`.",
        )
