"""Whatever one value in the audit's tables is replaced by: verify or rebuild names a fault, and neither breaks."""

from uuid import UUID

import asyncpg
import pytest

from broadcast.audit import rebuild_check, verify
from broadcast.audit.chunk_states.upkeep import Upkeep
from schemas.receipt import RawDelivery, Receipt, ReceiptState
from schemas.status import Outcome, Status
from tests.support.recorder_without_kafka import STATUSES, Alerts, RecorderWithoutKafka

T = 1_760_000_000_000
ODD = {
    "bigint": ("-1", "9223372036854775807"),
    "integer": ("-1", "2147483647"),
    "smallint": ("-1", "99", "32767"),
    "boolean": ("NOT {column}",),
    "text": ("''", "coalesce({column}, '') || 'x'"),
    "bytea": ("''", "{column} || '\\x00'"),
    "timestamp with time zone": ("'infinity'", "'-infinity'", "now()"),
    "jsonb": ("'null'", "'[1]'", "'{{\"x\": 1}}'", "'5'"),
    "ARRAY": ("'{{}}'", "'{{NULL}}'", "'{{1,1}}'"),
    "uuid": ("'00000000-0000-0000-0000-000000000000'",),
}
"""Values for a column of each type; null is tried for every column."""

NOT_PROVEN = {
    "accounts": {"id", "name"},
    "alerts": None,
    "attempts": {"receipt_before", "only_attempt"},
    "counters": {"shard"},
    "chunk_counters": {"shard", "chunk"},
    "chunk_lists": {"alert_id", "chunk", "changes"},
    "chunks": set(),
    "evidence": {"recorded_at"},
    "parked_receipts": {"received_at", "state", "error", "parked_at", "account", "by_text"},
    "unreadable_deliveries": {"account", "received_at"},
    "refused_records": {"error", "refused_at"},
}
"""Columns of which a changed value need not be found (None: any): nothing that evidence says follows from them."""


ROWS = {"chunk_counters": "state < 100"}
"""How often a chunk was changed says only whether its lists are up to date."""


@pytest.fixture
async def recorded_alert(recorder: RecorderWithoutKafka, alerts: Alerts) -> UUID:
    """Ten recipients in a chunk and two in another: all kinds of rows."""
    alert_id: UUID = await alerts.make(range(1, 13), suppressed={12: "opted out"}, chunk_size=10)

    def accepted(one: int, attempt: int = 1, segment: int = 1, segments: int = 1) -> Status:
        name = f"{one}-{attempt}-{segment}"
        return Status(
            str(alert_id),
            one,
            attempt,
            Outcome.ACCEPTED,
            segment,
            segments,
            "sim",
            name,
            one,
            submitted_at=T,
            at=T + 1,
            reason="r",
        )

    await recorder.write([*(accepted(one) for one in range(1, 9)), *(accepted(9, 1, part, 2) for part in (1, 2))])
    await recorder.write(
        [Status(str(alert_id), 10, 1, Outcome.REFUSED_FOR_NOW, error=88, submitted_at=T, at=T), accepted(10, 2)],
        [
            *(Receipt("sim", f"{one}-1-1", ReceiptState.DELIVERED, one, received_at=T + 9) for one in range(1, 9)),
            *(Receipt("sim", f"9-1-{part}", ReceiptState.DELIVERED, 9, received_at=T + 9) for part in (1, 2)),
        ],
    )
    offset = recorder.positions[STATUSES].offset
    await recorder.write([accepted(11), accepted(11, 2)], refused={offset: "out of range"})
    raw = Receipt("sim", "", ReceiptState.UNKNOWN, raw=RawDelivery("no message id"), received_at=T)
    await recorder.write(receipts=[Receipt("sim", "stranger", ReceiptState.DELIVERED, 5, received_at=T), raw])
    return alert_id


async def columns(connection: asyncpg.Connection) -> list[tuple[str, str, str]]:
    rows = await connection.fetch(
        "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name = ANY ($1::text[]) AND is_identity = 'NO' ORDER BY 1, 2",
        list(NOT_PROVEN),
    )
    return [tuple(row) for row in rows]


async def look(connection: asyncpg.Connection) -> list[str]:
    """All that both say."""
    verified = await verify(connection)
    return [*verified.faults, *verified.losses, *verified.beginnings, *(await rebuild_check(connection)).faults]


async def test_one_odd_value_is_a_fault_and_breaks_nothing(
    recorded_alert: UUID, connection: asyncpg.Connection
) -> None:
    upkeep = Upkeep()
    await connection.execute("UPDATE alerts SET chunks = 5")
    while not await upkeep.work(connection):
        pass
    await connection.execute("UPDATE alerts SET chunks = 2")
    for table in NOT_PROVEN:
        assert await connection.fetchval(f"SELECT count(*) FROM {table}"), table
    assert await look(connection) == []
    found = await columns(connection)
    for table in NOT_PROVEN:
        await connection.execute(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        for name in await connection.fetch(
            "SELECT conname FROM pg_constraint WHERE contype <> 'n' AND conrelid = $1::text::regclass", table
        ):
            await connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT IF EXISTS "{name[0]}" CASCADE')
    missed = []
    for table, column, kind in found:
        if column != "id":
            await connection.execute(f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL")
        for value in ("NULL", *ODD[kind]):
            given = value.format(column=column)
            # Null and an empty text say the same.
            before = f"coalesce({column}, '')" if kind == "text" else column
            given = "''" if kind == "text" and given == "NULL" else given
            place = await connection.fetchval(
                f"SELECT ctid FROM {table} WHERE {before} IS DISTINCT FROM {given} AND {ROWS.get(table, 'true')} "
                "ORDER BY md5(ctid::text) LIMIT 1"
            )
            if place is None:
                continue
            await connection.execute(f"UPDATE {table} SET {column} = {given} WHERE ctid = $1", place)
            said = await look(connection)
            proven = NOT_PROVEN[table]
            if not said and proven is not None and column not in proven:
                missed.append(f"{table}.{column} = {given}")
            await connection.execute(f"TRUNCATE {table}")
            await connection.execute(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM kept_{table}")
    assert not missed, "\n".join(missed)
    assert await look(connection) == []
