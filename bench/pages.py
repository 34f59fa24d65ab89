"""`python -m bench.pages`: how long a page of each state takes, on a PostgreSQL of its own, without Kafka.

The tables are filled as a recorder leaves them. Exit code 1 if a page takes longer than its limit.
"""

import asyncio
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import click

from bench.machine import describe_machine
from broadcast.audit import deliveries, summary
from broadcast.audit.chunk_states.upkeep import Upkeep
from broadcast.audit.codes import CODE_OF_RECEIPT
from broadcast.clock import monotonic
from broadcast.database import Connection, migrate
from broadcast.embedded.servers.postgres import Postgres
from schemas.receipt import ReceiptState
from schemas.status import DeliveryState

DONE_MILLISECONDS: Final = 50.0
RUNNING_MILLISECONDS: Final = 500.0
LIMIT: Final = 1_000
REPEATS: Final = 5
CURSORS: Final = (0.0, 0.5, 0.999)
"""Where pages begin, as shares of the audience."""

CHUNK: Final = 5_000
RARE_EVERY: Final = 4_999
"""One of so many is undelivered, one waits for a receipt, one is queued: about one of each in every chunk."""

AUDIENCE = """
INSERT INTO alerts (alert_id, state, lane, sender, identifier, sent, status, msg_type, document, digest, groups,
    event_offset, actor, expires_at, accepted_at, expanded_at, completed_at, audience, suppressed, chunks, chain)
VALUES ($1::uuid, $3::text, 'immediate', 's', $1::text, now(), 'Actual', 'Alert', '{}', '', '{}', 0, 'bench',
    now() + interval '1 hour', now() - interval '2 hours', now(), CASE WHEN $3::text = 'completed' THEN now() END,
    $2::bigint, 0, ($2::bigint + $4::bigint - 1) / $4, '')
"""
CHUNKS = """
INSERT INTO chunks
SELECT $1, c, c * $3::bigint + 1, least((c + 1) * $3::bigint, $2::bigint), least($3::bigint, $2 - c * $3::bigint),
    (SELECT array_agg(g) FROM generate_series(c * $3::bigint + 1, least((c + 1) * $3::bigint, $2)) g), '{}', '', ''
FROM generate_series(0, ($2 - 1) / $3) c
"""
ATTEMPTS = f"""
INSERT INTO attempts (alert_id, recipient_id, message_key, number_hash, evidence_id, error, submitted_at, answered_at,
    receipt_at, account, attempt, segment, segments, outcome, receipt_state, possible_duplicate, only_attempt)
SELECT $1, g, g, g, 1, 0, now() - interval '2 hours', now(), now(), 1, 1, 1, 1, 1,
    CASE g % {RARE_EVERY} WHEN 17 THEN {CODE_OF_RECEIPT[ReceiptState.UNDELIVERABLE]} WHEN 18 THEN NULL
        ELSE {CODE_OF_RECEIPT[ReceiptState.DELIVERED]} END, false, true
FROM generate_series($2::bigint, $3::bigint) g WHERE g % {RARE_EVERY} <> 19
"""
UNCOUNTED = "INSERT INTO chunk_counters VALUES ($1, -1, -2, 101, 1)"
TOUCH = "UPDATE chunk_counters SET count = count + 1 WHERE alert_id = $1 AND state = 101 AND chunk % 10 = 0"


async def measure_pages(
    ask: Callable[[DeliveryState | None, int], Awaitable[Any]], recipients: int, repeats: int = REPEATS
) -> dict[str, float]:
    """Milliseconds of a page of each state, and of all: the median of its repeats at the slowest cursor."""
    found: dict[str, float] = {}
    for state in (None, *DeliveryState):
        slowest = 0.0
        for share in CURSORS:
            taken = []
            for _ in range(repeats):
                began_at = monotonic()
                await ask(state, int(recipients * share))
                taken.append((monotonic() - began_at) * 1000)
            slowest = max(slowest, statistics.median(taken))
        found["all" if state is None else state.value] = round(slowest, 1)
    return found


def over_limit(found: dict[str, float], limit: float) -> dict[str, float]:
    """What took longer than the limit."""
    return {name: value for name, value in found.items() if value > limit}


async def fill(connection: asyncpg.Connection, recipients: int, *, attempted: int, state: str) -> UUID:
    """An alert of which so many have an attempt, not yet counted by chunk."""
    alert_id = uuid4()
    await connection.execute(AUDIENCE, alert_id, recipients, state, CHUNK)
    await connection.execute(CHUNKS, alert_id, recipients, CHUNK)
    for first in range(1, attempted + 1, 500_000):
        await connection.execute(ATTEMPTS, alert_id, first, min(attempted, first + 499_999))
    await connection.execute(UNCOUNTED, alert_id)
    return alert_id


async def keep_up(connection: asyncpg.Connection) -> float:
    """Count by chunk and list, until nothing is left; the seconds."""
    began_at = monotonic()
    upkeep = Upkeep()
    while not await upkeep.work(connection, budget_seconds=3600.0):
        pass
    return monotonic() - began_at


async def measure(recipients: int, directory: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure pages of an alert that is done, and of one that runs.

    Half of that one has attempts, and every tenth chunk changes.
    """
    server = Postgres(directory / "postgres")
    await server.start()
    try:
        await migrate(server.dsn)
        connection = await asyncpg.connect(server.dsn)
        say(f"filling {recipients:,} recipients twice …")
        done = await fill(connection, recipients, attempted=recipients, state="completed")
        running = await fill(connection, recipients, attempted=recipients // 2, state="sending")
        await connection.execute("VACUUM ANALYZE")
        ask = page_of(connection, done)
        say("pages while an alert of an older version is not counted by chunk …")
        uncounted = await measure_pages(ask, recipients, 1)
        seconds = await keep_up(connection)
        say("pages when it is done …")
        found = {"done": await measure_pages(ask, recipients)}
        await connection.execute(TOUCH, running)
        say("pages while it runs …")
        found["running"] = await measure_pages(page_of(connection, running), recipients)
        began_at = monotonic()
        await summary(connection, done)
        summed = (monotonic() - began_at) * 1000
        await connection.close()
    finally:
        await server.stop()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "load_average": [round(one, 1) for one in os.getloadavg()],
        "recipients": recipients,
        "page_milliseconds": found,
        "page_milliseconds_not_counted_by_chunk": uncounted,
        "upkeep_microseconds_per_recipient": round(seconds * 1e6 / (recipients * 3 / 2), 2),
        "summary_milliseconds": round(summed, 1),
    }


def page_of(connection: Connection, alert_id: UUID) -> Callable[[DeliveryState | None, int], Awaitable[Any]]:
    """What asks for one page of an alert."""

    async def ask(state: DeliveryState | None, cursor: int) -> Any:
        return await deliveries(connection, alert_id, state=state, cursor=cursor, limit=LIMIT)

    return ask


@click.command()
@click.option("--recipients", type=click.IntRange(10_000), default=5_000_000, show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path), help="For the database; if absent, a temporary directory.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def main(recipients: int, data_dir: Path | None, as_json: bool) -> None:
    """Measure a page of 1,000 of every state; exit code 1 if one is over its limit."""
    directory = data_dir or Path(tempfile.mkdtemp(prefix="tocsin-pages-"))
    try:
        measured = asyncio.run(measure(recipients, directory, lambda line: click.echo(line, err=True)))
    finally:
        if data_dir is None:
            shutil.rmtree(directory, ignore_errors=True)
    limits = {"done": DONE_MILLISECONDS, "running": RUNNING_MILLISECONDS}
    slow = {name: over_limit(found, limits[name]) for name, found in measured["page_milliseconds"].items()}
    if as_json:
        click.echo(json.dumps(measured | {"over_limit": slow}))
    else:
        for name, found in measured["page_milliseconds"].items():
            for state, value in found.items():
                over = "  OVER THE LIMIT" if state in slow[name] else ""
                click.echo(f"{name:>8} {state:<12} {value:8.1f} ms (limit {limits[name]:.0f} ms){over}")
        click.echo(
            f"load average {measured['load_average'][0]}; counting and listing took "
            f"{measured['upkeep_microseconds_per_recipient']} µs a recipient, afterwards"
        )
    raise SystemExit(1 if any(slow.values()) else 0)


if __name__ == "__main__":
    main()
