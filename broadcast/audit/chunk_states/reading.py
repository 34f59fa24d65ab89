"""The states of the recipients of a part of an audience, read from their attempts."""

import asyncio
from collections import defaultdict
from collections.abc import Collection
from typing import Final, TypeAlias
from uuid import UUID

from broadcast.audit.codes import CODE_OF_STATE, QUEUED, STATE_OF_CODES
from broadcast.audit.coverage import Part, state_of_parts
from broadcast.database import Connection
from schemas.status import DeliveryState

States: TypeAlias = dict[int, list[int]]
"""Recipient ids by the code of their state, in no order."""

SUPPRESSED: Final = CODE_OF_STATE[DeliveryState.SUPPRESSED]

_BY_OUTCOME = """
SELECT outcome, receipt_state, array_agg(recipient_id) FILTER (WHERE only_attempt) AS singly,
    array_agg(recipient_id) FILTER (WHERE only_attempt IS NOT TRUE) AS several
FROM attempts WHERE alert_id = $1 AND recipient_id > $2 AND recipient_id <= $3 GROUP BY outcome, receipt_state
"""

_PARTS = """
SELECT recipient_id, attempt, submitted_at, segment, segments, outcome, receipt_state, account, receipt_covers_message
FROM attempts WHERE alert_id = $1 AND recipient_id = ANY ($2::bigint[])
"""

_AT_ONCE: Final = 500
"""Recipients with several attempts whose states are found at once: 5 µs each, while nothing else runs."""


async def read_attempted(connection: Connection, alert_id: UUID, low: int, high: int) -> States:
    """The states of all recipients with an attempt whose ids are above `low` and at most `high`."""
    found: States = defaultdict(list)
    several: set[int] = set()
    for row in await connection.fetch(_BY_OUTCOME, alert_id, low, high):
        if row["singly"]:
            found[CODE_OF_STATE[STATE_OF_CODES[row["outcome"], row["receipt_state"]]]] += row["singly"]
        several.update(row["several"] or ())
    ordered = sorted(several)
    for start in range(0, len(ordered), _AT_ONCE):
        parts: dict[int, list[Part]] = defaultdict(list)
        for fact in await connection.fetch(_PARTS, alert_id, ordered[start : start + _AT_ONCE]):
            parts[fact[0]].append(Part(*fact[1:]))
        for recipient_id, own in parts.items():
            found[CODE_OF_STATE[state_of_parts(own)]].append(recipient_id)
        await asyncio.sleep(0)
    return found


async def read_members(
    connection: Connection, alert_id: UUID, members: list[int], suppressed: Collection[int]
) -> States:
    """The states of these members of one chunk; ids ascending, `suppressed` some of them."""
    if not members:
        return {}
    attempted = await read_attempted(connection, alert_id, members[0] - 1, members[-1])
    wanted = set(members)
    states = {code: sorted(wanted.intersection(found)) for code, found in attempted.items()}
    rest = wanted.difference(*states.values())
    left_out = rest.intersection(suppressed)
    states[SUPPRESSED] = sorted(left_out)
    states[QUEUED] = sorted({*states.get(QUEUED, ()), *(rest - left_out)})
    return states
