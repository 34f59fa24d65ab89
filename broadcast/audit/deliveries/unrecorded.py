"""Recipients of whom only the mark of a possible duplicate speaks: no submit of theirs is recorded."""

from uuid import UUID

from broadcast.audit.codes import CODE_OF_OUTCOME
from broadcast.database import Connection
from schemas.status import Outcome

UNRECORDED = f"""
SELECT count(DISTINCT recipient_id) FROM attempts a
WHERE alert_id = $1 AND outcome = {CODE_OF_OUTCOME[Outcome.UNKNOWN]} AND submitted_at IS NULL AND receipt_state IS NULL
    AND (only_attempt OR NOT EXISTS (
        SELECT FROM attempts b WHERE b.alert_id = $1 AND b.recipient_id = a.recipient_id
            AND (b.submitted_at IS NOT NULL OR b.receipt_state IS NOT NULL)
    ))
"""
"""The code stands in the statement, so that the index `attempts_unsubmitted` serves it."""


async def count_unrecorded(connection: Connection, alert_id: UUID) -> int:
    """How many recipients are unknown although no submit to them is recorded.

    A sender that ended may have written to them and not said so; it is as likely that they were sent nothing. Reads
    those attempts only, by an index of their own.
    """
    found: int = await connection.fetchval(UNRECORDED, alert_id)
    return found
