"""Which chunk of an audience a recipient is of: the last id of each chunk, kept in memory."""

from collections.abc import Iterable
from typing import Final

import asyncpg

_ENDS = """
SELECT alert_id::text, array_agg(last_id ORDER BY chunk) AS ends FROM chunks
WHERE alert_id = ANY ($1::text[]::uuid[]) GROUP BY alert_id HAVING count(*) = max(chunk) + 1
"""

ALERTS_KEPT: Final = 1_000


class ChunkEnds:
    """The last ids of the chunks of alerts, in the order of the chunks.

    Those of the newest alerts are kept. Stored chunks never change, so what is kept stays true.
    """

    def __init__(self) -> None:
        self.ends: dict[str, list[int]] = {}

    async def load(self, connection: asyncpg.Connection, alert_ids: Iterable[str]) -> None:
        """Have `ends` of these alerts (ids in lower case), of those that are stored."""
        wanted = set(alert_ids)
        missing = sorted(wanted - self.ends.keys())
        if not missing:
            return
        spare = [alert_id for alert_id in self.ends if alert_id not in wanted]
        for alert_id in spare[: max(0, len(self.ends) + len(missing) - ALERTS_KEPT)]:
            del self.ends[alert_id]
        for row in await connection.fetch(_ENDS, missing):
            self.ends[row["alert_id"]] = row["ends"]
