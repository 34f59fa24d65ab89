"""Kafka away: an alarm in PostgreSQL that says since when, until Kafka answers again."""

from datetime import datetime, timedelta
from typing import Final

import asyncpg

from broadcast.alarms import BY_RECORDER, SERVER_AWAY, end_alarm, renew_alarm
from broadcast.health import Health

AWAY_SECONDS: Final = 10.0
"""Kafka that has not answered for so long raises an alarm; a restart of a broker takes less."""

KAFKA: Final = "kafka"


async def alarm_kafka_away(connection: asyncpg.Connection, now: datetime, health: Health, address: str) -> None:
    """Raise an alarm while Kafka does not answer this process, and end it when it does.

    PostgreSQL has no alarm of this kind: no row can be written while it is away.
    """
    seconds = health.away_seconds(KAFKA)
    if seconds is None:
        return  # not asked yet: what another process has raised may still hold
    if seconds == 0:
        await end_alarm(connection, SERVER_AWAY, KAFKA, BY_RECORDER)
    elif seconds >= AWAY_SECONDS:
        since = (now - timedelta(seconds=seconds)).isoformat("T", "seconds")
        await renew_alarm(
            connection,
            SERVER_AWAY,
            KAFKA,
            f"Kafka at {address} has not answered the recorder since {since}: nothing is planned, sent or recorded, "
            "and the API takes no alert. Look whether its brokers run, are frozen, or cannot be reached. What waits "
            "goes on by itself when it is back.",
        )
