"""Counters and lists compared with the attempts that they are derived from."""

from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

from broadcast.audience.chunks import read_reasons
from broadcast.audit.chunk_states.moves import CHANGES, NO_CHUNK
from broadcast.audit.chunk_states.reading import read_attempted, read_members
from broadcast.audit.codes import POSSIBLE_DUPLICATES, QUEUED, STATE_OF_CODE
from broadcast.audit.errors import ODD_VALUES
from broadcast.database import Connection
from broadcast.text.counts import counted

_ALERTS = "SELECT alert_id FROM counters UNION SELECT alert_id FROM chunk_counters UNION SELECT alert_id FROM attempts"
_CHUNKS = "SELECT chunk, last_id FROM chunks WHERE alert_id = $1 ORDER BY chunk"
_OF_ALERTS = "SELECT state, sum(count)::bigint FROM counters WHERE alert_id = $1 GROUP BY state"
_OF_CHUNKS = "SELECT chunk, state, sum(count)::bigint FROM chunk_counters WHERE alert_id = $1 GROUP BY chunk, state"
_MARKED = "SELECT count(DISTINCT recipient_id) FROM attempts WHERE alert_id = $1 AND possible_duplicate"
_NOT_ALONE = """
SELECT recipient_id FROM attempts WHERE alert_id = $1
GROUP BY recipient_id HAVING count(*) > 1 AND bool_or(only_attempt IS NOT FALSE) ORDER BY recipient_id LIMIT 20
"""
_TRUE_LISTS = """
SELECT chunk, state, recipients FROM chunk_lists l WHERE alert_id = $1 AND changes = (
    SELECT sum(count) FROM chunk_counters c WHERE c.alert_id = $1 AND c.chunk = l.chunk AND c.state = $2
) ORDER BY chunk, state
"""
_DIFFERENT_SUMS = f"""
SELECT alert_id, state, sum(of_alert)::bigint AS of_alert, sum(of_chunks)::bigint AS of_chunks FROM (
    SELECT alert_id, state, count AS of_alert, 0 AS of_chunks FROM counters WHERE state < {POSSIBLE_DUPLICATES}
    UNION ALL
    SELECT alert_id, state, 0, count FROM chunk_counters WHERE state < {POSSIBLE_DUPLICATES}
) s
WHERE alert_id NOT IN (SELECT alert_id FROM chunk_counters WHERE chunk = {NO_CHUNK})
    AND ($1::uuid IS NULL OR alert_id = $1)
GROUP BY alert_id, state HAVING sum(of_alert) <> sum(of_chunks) ORDER BY alert_id, state
"""

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


async def compare_sums(connection: Connection, alert_id: UUID | None = None) -> AsyncIterator[str]:
    """Faults in words: states of which the counters of an alert are not the sum over its chunks."""
    for row in await connection.fetch(_DIFFERENT_SUMS, alert_id):
        yield (
            f"alert {row['alert_id']}: its counters say {row['of_alert']:,} {_word(row['state'])}, those of its chunks "
            f"{row['of_chunks']:,}. Run `broadcast audit rebuild --check`."
        )


async def check_counters(connection: Connection) -> AsyncIterator[str]:
    """Faults in words: counters and lists of any alert that are not what its attempts say. 1 µs for a recipient."""
    for row in await connection.fetch(f"SELECT alert_id FROM ({_ALERTS}) AS a ORDER BY alert_id"):
        try:
            async for fault in _check_alert(connection, row["alert_id"]):
                yield f"alert {row['alert_id']}{fault}"
        except ODD_VALUES as error:
            yield f"alert {row['alert_id']}: its counters cannot be compared: {error!r}"


async def _check_alert(connection: Connection, alert_id: UUID) -> AsyncIterator[str]:
    for row in await connection.fetch(_NOT_ALONE, alert_id):
        yield f" recipient {row['recipient_id']} has several attempts, of which one says only_attempt"
    total: Counter[int] = Counter()
    by_chunk: dict[int, Counter[int]] = {}
    for chunk, state, number in await connection.fetch(_OF_CHUNKS, alert_id):
        by_chunk.setdefault(chunk, Counter())[state] = number
    chunks = await connection.fetch(_CHUNKS, alert_id)
    low, unassigned = _LOWEST, NO_CHUNK in by_chunk
    for place, (chunk, last_id) in enumerate(chunks):
        high = _HIGHEST if place + 1 == len(chunks) else last_id
        stored, start, low = by_chunk.pop(chunk, Counter()), low, last_id
        try:
            found = await _count(connection, alert_id, start, high)
        except ODD_VALUES as error:
            yield f" chunk {chunk}: its attempts cannot be counted: {error!r}"
            continue
        total.update(found)
        if not unassigned:
            for fault in _differences(stored, found):
                yield f" chunk {chunk}: {fault}"
    if not chunks:
        total.update(await _count(connection, alert_id, _LOWEST, _HIGHEST))
    elif not unassigned:
        for chunk in sorted(by_chunk):
            yield f" chunk {chunk}: it has counters and is not stored"
    total[POSSIBLE_DUPLICATES] = await connection.fetchval(_MARKED, alert_id)
    of_alert = Counter({row[0]: row[1] for row in await connection.fetch(_OF_ALERTS, alert_id)})
    for fault in _differences(of_alert, total):
        yield f": {fault}"
    async for fault in _check_lists(connection, alert_id):
        yield fault


async def _count(connection: Connection, alert_id: UUID, low: int, high: int) -> Counter[int]:
    attempted = await read_attempted(connection, alert_id, low, high)
    return Counter({code: len(ids) for code, ids in attempted.items()})


async def _check_lists(connection: Connection, alert_id: UUID) -> AsyncIterator[str]:
    known, states = None, {}
    for chunk, code, recipients in await connection.fetch(_TRUE_LISTS, alert_id, CHANGES):
        if chunk != known:
            row = await connection.fetchrow(
                "SELECT recipients, suppressed FROM chunks WHERE alert_id = $1 AND chunk = $2", alert_id, chunk
            )
            members, reasons = (row["recipients"], read_reasons(row["suppressed"])) if row else ([], {})
            known, states = chunk, await read_members(connection, alert_id, members, reasons)
        wrong = set(recipients).symmetric_difference(states.get(code, ()))
        if wrong or recipients != sorted(set(recipients)):
            yield f" chunk {chunk}: its list of {_word(code)} is wrong for {counted(len(wrong), 'recipient')}"


def _differences(stored: Counter[int], found: Counter[int]) -> list[str]:
    return [
        f"counters say {stored[code]:,} {_word(code)}, its attempts {found[code]:,}"
        for code in sorted(stored.keys() | found.keys())
        if stored[code] != found[code] and code not in {QUEUED, CHANGES}
    ]


def _word(code: int) -> str:
    if code == POSSIBLE_DUPLICATES:
        return "possible duplicates"
    return STATE_OF_CODE[code].value if code in STATE_OF_CODE else f"in the unknown state {code}"
