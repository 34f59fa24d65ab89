"""The duty that gives undelivered recipients to another route: one process, one Kafka transaction for each look."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NoReturn

import asyncpg
import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from pydantic import ValidationError

from broadcast import metrics
from broadcast.alerts.assessment import read_content
from broadcast.cap import choose_all, languages_of
from broadcast.clock import utc_now
from broadcast.database.leases import LeaseRow
from broadcast.database.pool import AWAY, connect, wait_for_database
from broadcast.kafka.batches import Record, write_records
from broadcast.kafka.clients import ENDED, make_producer, start_client
from broadcast.kafka.events import stop_producer
from broadcast.rerouting.claims import AT_ONCE, Claim, claim, finish
from broadcast.retry import Backoff
from broadcast.routing import Route
from broadcast.settings import Settings
from schemas.alert import Alert
from schemas.control import Control
from schemas.job import Job
from schemas.topics import Names

log = structlog.get_logger(__name__)

LEASE: Final = "rerouting"
"""Of the one process that does this; its producer's transactional id fences the one before."""

LEASE_SECONDS: Final = 10.0
"""Renewed before each look; if a look takes longer, another process may take over, and fences this one."""

LOOK_SECONDS: Final = 1.0
LONGEST_LOOK_SECONDS: Final = 60.0
"""A look takes some milliseconds; a server that needs this long is as good as away."""

LONGEST_PAUSE_SECONDS: Final = 5.0

INTERRUPTED: tuple[type[BaseException], ...] = (*AWAY, *ENDED)

_encode = msgspec.json.Encoder().encode


async def reroute_forever(settings: Settings, routes: Sequence[Route]) -> None:
    """Send new copies until cancelled; both servers are waited for, another process's lease too.

    Returns at once where no route has an `undelivered_route`.
    """
    wanted = {route.undelivered_route for route in routes}
    others = {route.name: route for route in routes if route.name in wanted}
    if not others:
        return
    lease = LeaseRow(LEASE, "expander", settings)
    pause = Backoff(first_seconds=LOOK_SECONDS, longest_seconds=LONGEST_PAUSE_SECONDS)
    while True:
        connection = await wait_for_database("rerouting", lambda: connect(settings, "expander"))
        try:
            await _reroute_in_turn(settings, others, connection, lease, pause)
        except asyncio.CancelledError:
            await lease.release(connection)
            raise
        except INTERRUPTED as error:
            log.warning("rerouting_interrupted", error=repr(error))
        except Exception:
            # The expansion beside it must go on.
            log.exception("rerouting_failed")
        finally:
            connection.terminate()
        await pause.sleep()


async def _reroute_in_turn(
    settings: Settings, others: Mapping[str, Route], connection: asyncpg.Connection, lease: LeaseRow, pause: Backoff
) -> NoReturn:
    while True:
        if await lease.take(connection, LEASE_SECONDS):
            await _reroute_on(settings, others, connection, lease, pause)
        await asyncio.sleep(LOOK_SECONDS)


async def _reroute_on(
    settings: Settings, others: Mapping[str, Route], connection: asyncpg.Connection, lease: LeaseRow, pause: Backoff
) -> None:
    """Send new copies while the lease is held; returns when another process has it."""
    transactional_id = f"{settings.topic_prefix}reroute"
    producer = await start_client(
        "rerouting", lambda: make_producer(settings, transactional_id=transactional_id), stop_producer
    )
    try:
        copies = NewCopies(settings, others, connection, producer)
        while await lease.take(connection, LEASE_SECONDS):
            async with asyncio.timeout(LONGEST_LOOK_SECONDS):
                count = await copies.send()
            pause.reset()
            if count < AT_ONCE:
                await asyncio.sleep(LOOK_SECONDS)
    finally:
        await stop_producer(producer)


class NewCopies:
    """Claims recipients, writes their jobs in one transaction of Kafka, and notes that.

    `others` are the routes by which copies go. After an error it is of no use: what it had claimed is looked at again.
    """

    def __init__(
        self,
        settings: Settings,
        others: Mapping[str, Route],
        connection: asyncpg.Connection,
        producer: AIOKafkaProducer,
    ) -> None:
        self._settings: Final = settings
        self._names: Final = Names(settings.topic_prefix)
        self._others: Final = others
        self._connection: Final = connection
        self._producer: Final = producer

    async def send(self) -> int:
        """Send copies to those who are due; how many were looked at."""
        # A wrong clock of this host must not take somebody's new copy for expired.
        now = await self._connection.fetchval("SELECT clock_timestamp()")
        look = await claim(self._connection, list(self._others), now, number_key=self._settings.require_number_key())
        if look.claims:
            languages = await self._read_languages({one.alert_id for one in look.claims})
            await self._producer.begin_transaction()
            await write_records(self._producer, make_records(self._names, self._others, look.claims, languages))
            await self._producer.commit_transaction()
            await finish(self._connection, look.claims)
            for lane, count in Counter(one.lane for one in look.claims).items():
                metrics.undelivered_rerouted.labels(lane.value).inc(count)
            for route, count in Counter(one.route for one in look.claims).items():
                log.info("undelivered_rerouted", to=route, count=count)
        return look.count

    async def _read_languages(self, alert_ids: Iterable[str]) -> dict[str, dict[str, int]]:
        rows = await self._connection.fetch(
            "SELECT alert_id::text, document::text, planned_at, control FROM alerts "
            "WHERE alert_id = ANY ($1::text[]::uuid[])",
            list(alert_ids),
        )
        return {
            row["alert_id"]: self._languages_of(row["alert_id"], row["document"], row["planned_at"], row["control"])
            for row in rows
        }

    def _languages_of(
        self, alert_id: str, document: str, planned_at: datetime | None, control: bytes | None
    ) -> dict[str, int]:
        if control is not None:
            return languages_of(msgspec.json.decode(control, type=Control).variants)
        # An alert that was planned before its control record was kept.
        try:
            alert = Alert.model_validate_json(document)
        except ValidationError as error:
            log.warning("languages_not_read", alert_id=alert_id, error=str(error))
            return {}
        return languages_of(read_content(alert, self._settings, now=planned_at or utc_now()).variants)


def make_records(
    names: Names, others: Mapping[str, Route], claims: Sequence[Claim], languages: Mapping[str, Mapping[str, int]]
) -> list[Record]:
    """A job with the whole message for each claim, on the topic of the other route and the alert's lane."""
    records = []
    for one in claims:
        job = Job(
            one.alert_id,
            one.recipient_id,
            one.msisdn,
            variant=choose_all(languages[one.alert_id], [one.language])[0],
            attempt=one.attempt,
            possible_duplicate=one.possible_duplicate,
        )
        route = others[one.route]
        topic, partition = names.jobs(route.name, one.lane), one.recipient_id % route.partitions
        records.append(Record(topic, b"%d" % one.recipient_id, _encode(job), partition))
    return records
