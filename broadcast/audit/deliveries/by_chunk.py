"""The deliveries of one alert, chunk by chunk, so that memory does not grow with the audience."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from broadcast.audience.chunks import read_reasons
from broadcast.audit.codes import CODE_OF_OUTCOME, FINAL_RECEIPT_CODES, STATE_OF_CODES
from broadcast.audit.coverage import Part, state_of_parts
from broadcast.audit.deliveries.state import Attempt, Delivery, deliveries_of
from broadcast.database import Connection
from schemas.status import DeliveryState, Outcome

_CHUNK = """
SELECT chunk, first_id, last_id, recipients, suppressed FROM chunks
WHERE alert_id = $1 AND chunk > $2 AND last_id > $3 ORDER BY chunk LIMIT 1
"""

_ATTEMPTS = f"""
SELECT {", ".join(Attempt._fields)} FROM attempts
WHERE alert_id = $1 AND recipient_id > $2 AND recipient_id <= $3
"""

_COUNTED = """
SELECT recipient_id, segment, segments, outcome, receipt_state, possible_duplicate, submitted_at < $4 AS old,
    attempt, submitted_at, account, receipt_covers_message
FROM attempts WHERE alert_id = $1 AND recipient_id > $2 AND recipient_id <= $3
"""

_ACCEPTED = CODE_OF_OUTCOME[Outcome.ACCEPTED]


async def walk(
    connection: Connection, alert_id: UUID, *, overdue_before: datetime, after: int = -(2**63)
) -> AsyncIterator[list[Delivery]]:
    """The deliveries of an alert, recipients ascending and above `after`, one chunk of the audience at a time."""
    chunk = -1
    while (row := await connection.fetchrow(_CHUNK, alert_id, chunk, after)) is not None:
        chunk = row["chunk"]
        attempts: dict[int, list[Attempt]] = defaultdict(list)
        low = max(after, row["first_id"] - 1)
        for found in await connection.fetch(_ATTEMPTS, alert_id, low, row["last_id"]):
            attempts[found[0]].append(Attempt._make(found))
        recipients = [recipient_id for recipient_id in row["recipients"] if recipient_id > after]
        yield list(deliveries_of(recipients, read_reasons(row["suppressed"]), attempts, overdue_before=overdue_before))


@dataclass(slots=True)
class Count:
    """What counting every recipient of an alert found; `attempted` are those of its audience with an attempt."""

    states: Counter[DeliveryState] = field(default_factory=Counter)
    possible_duplicates: int = 0
    receipt_overdue: int = 0
    attempted: int = 0


async def count(connection: Connection, alert_id: UUID, *, overdue_before: datetime) -> Count:
    """Count the recipients of an alert by state: what `walk` would give, at 3 µs each."""
    result = Count()
    chunk = -1
    while (row := await connection.fetchrow(_CHUNK, alert_id, chunk, -(2**63))) is not None:
        chunk = row["chunk"]
        attempts: dict[int, list[Any]] = {}
        for found in await connection.fetch(_COUNTED, alert_id, row["first_id"] - 1, row["last_id"], overdue_before):
            attempts.setdefault(found[0], []).append(found)
        members = set(row["recipients"])
        suppressed = {recipient_id for recipient_id in read_reasons(row["suppressed"]) if recipient_id not in attempts}
        members_with = attempts.keys() & members
        result.attempted += len(members_with)
        result.states[DeliveryState.SUPPRESSED] += len(suppressed)
        result.states[DeliveryState.QUEUED] += len(members) - len(members_with) - len(suppressed)
        _count_attempts(result, [attempts[recipient_id] for recipient_id in members_with])
    return result


def _count_attempts(result: Count, attempts: list[list[Any]]) -> None:
    for facts in attempts:
        if len(facts) == 1 and facts[0][1] <= 1 and facts[0][2] == 1:
            state = STATE_OF_CODES[facts[0][3], facts[0][4]]
        else:
            state = state_of_parts([Part._make((fact[7], fact[8], *fact[1:5], *fact[9:11])) for fact in facts])
        result.states[state] += 1
        result.possible_duplicates += any(fact[5] for fact in facts)
        if state is DeliveryState.SUBMITTED:
            result.receipt_overdue += any(
                fact[6] and fact[3] == _ACCEPTED and fact[4] not in FINAL_RECEIPT_CODES for fact in facts
            )
