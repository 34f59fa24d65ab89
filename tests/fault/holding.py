"""What a frozen process holds, as PostgreSQL and Kafka see it, and which alerts are completed meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from aiokafka.client import AIOKafkaClient

from broadcast.kafka.clients import security
from broadcast.kafka.markers import Coordinator, Last
from schemas.lane import LANES
from tests.fault.system import ROUTE, SystemUnderTest

Held = Callable[[SystemUnderTest, str, str], Awaitable[str]]
"""What the process of a stage in a slot, which is frozen now, holds of what the case is about; empty for nothing."""

SAME_SECONDS = 0.3
"""A transaction of a process that goes on is over by then."""

_TABLES = """
SELECT string_agg(DISTINCT c.relname, ' ' ORDER BY c.relname) FROM pg_stat_activity a JOIN pg_locks l USING (pid)
JOIN pg_class c ON c.oid = l.relation
WHERE a.application_name LIKE $1 AND a.wait_event_type = 'Client' AND l.granted AND l.mode = $2
    AND c.relname = ANY ($3::text[])
"""


def writing(*tables: str) -> Held:
    """It has written to these tables in a transaction of PostgreSQL that is open: whoever does the same work waits."""

    async def held(system: SystemUnderTest, stage: str, slot: str) -> str:
        return await locked(system, f"tocsin {stage} {slot}", "RowExclusiveLock", *tables)

    return held


async def in_transaction(system: SystemUnderTest, stage: str, slot: str) -> str:
    """It has written something in a transaction of PostgreSQL that is open."""
    held = await ask(
        system,
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND backend_xid IS NOT NULL "
        "AND wait_event_type = 'Client')",
        f"tocsin {stage} {slot}",
    )
    return "a transaction of PostgreSQL" if held else ""


async def locked(system: SystemUnderTest, name: str, mode: str, *tables: str) -> str:
    """These tables, if a session of that name that does nothing holds such a lock on each; else nothing."""
    async with system.database() as connection:
        found: str | None = await connection.fetchval(_TABLES, name, mode, list(tables))
    return found if found == " ".join(sorted(tables)) else ""


async def sweeping(system: SystemUnderTest, stage: str, slot: str) -> str:
    """It holds the lease of the sweep."""
    held = await ask(
        system,
        "SELECT EXISTS (SELECT FROM leases WHERE name = 'sweep' AND holder LIKE $1 || ' on %' AND ends_at > now())",
        f"tocsin {stage} {slot}",
    )
    return "the lease" if held else ""


async def anything(_system: SystemUnderTest, _stage: str, _slot: str) -> str:
    """Wherever it is."""
    return "anything"


async def sending(system: SystemUnderTest, stage: str, slot: str) -> str:
    """The transaction of its own transactional id is open."""
    return " ".join(await open_transactions(system, [f"{system.settings.topic_prefix}{stage}.{ROUTE}.{slot}"]))


def reading(topics: Callable[[SystemUnderTest], dict[str, int]]) -> Held:
    """A transaction of Kafka for a partition of these topics stays open, though every other process goes on.

    The processes of a stage share the transactional ids, of which each has those of the partitions that it reads.
    """

    async def held(system: SystemUnderTest, stage: str, _slot: str) -> str:
        ids = [
            f"{system.settings.topic_prefix}{stage}.{topic}.{one}"
            for topic, count in topics(system).items()
            for one in range(count)
        ]
        first = await open_transactions(system, ids)
        if not first:
            return ""
        await asyncio.sleep(SAME_SECONDS)
        second = await open_transactions(system, ids)
        return " ".join(one for one in first if second.get(one) == first[one])

    return held


async def open_transactions(system: SystemUnderTest, ids: Sequence[str]) -> dict[str, Last]:
    """The transactional ids with an open transaction, as their coordinator says."""
    client = AIOKafkaClient(**security(system.settings))
    try:
        await client.bootstrap()
        last = {one: await Coordinator(client, one).describe() for one in ids}
    finally:
        await client.close()
    return {one: found for one, found in last.items() if found is not None and found.state == "Ongoing"}


def alerts(system: SystemUnderTest) -> dict[str, int]:
    """The topic of the planner, with the number of its partitions."""
    return {system.names.alerts: 1}


def expansions(system: SystemUnderTest) -> dict[str, int]:
    """The topics of the expander, each with the number of its partitions."""
    return {system.names.expansions(lane): system.settings.expansion_partitions for lane in LANES}


async def has_audience(system: SystemUnderTest, alert: UUID) -> bool:
    """True if the audience of the alert is known."""
    return await ask(system, "SELECT EXISTS (SELECT FROM alerts WHERE alert_id = $1 AND audience > 0)", alert)


async def is_completed(system: SystemUnderTest, alert: UUID) -> bool:
    """True if the alert is completed."""
    return await ask(
        system, "SELECT EXISTS (SELECT FROM alerts WHERE alert_id = $1 AND completed_at IS NOT NULL)", alert
    )


async def are_completed(system: SystemUnderTest, alert_ids: Sequence[UUID]) -> bool:
    """True if all these alerts are completed."""
    return await ask(
        system,
        "SELECT count(*) = $2 FROM alerts WHERE alert_id = ANY ($1::uuid[]) AND completed_at IS NOT NULL",
        list(alert_ids),
        len(alert_ids),
    )


async def ask(system: SystemUnderTest, question: str, *values: object) -> bool:
    """True if the first value of the answer is."""
    async with system.database() as connection:
        return bool(await connection.fetchval(question, *values))
