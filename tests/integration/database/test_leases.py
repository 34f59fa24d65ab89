"""A lease is held until its end: a holder that freezes loses it, and one that stops gives it up."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from broadcast.database import connect
from broadcast.database.leases import LeaseRow
from broadcast.settings import Settings


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(Settings(database_url=database_url))
    yield connection
    await connection.close()


async def test_a_lease_that_is_not_renewed_goes_to_another_process(connection: asyncpg.Connection) -> None:
    first, second = (LeaseRow("sweep", "recorder", Settings(slot=slot)) for slot in "12")
    assert await first.take(connection, 0.4)
    assert not await second.take(connection, 0.4)
    assert await first.take(connection, 0.4), "who has it renews it"
    await asyncio.sleep(0.5)
    assert await second.take(connection, 60), "its end is past, although its holder's session is open"
    assert not await first.take(connection, 60), "who was frozen learns that another one has it"


async def test_a_lease_that_is_released_is_free_at_once(connection: asyncpg.Connection) -> None:
    first, second = (LeaseRow("sweep", "recorder", Settings(slot=slot)) for slot in "12")
    assert await first.take(connection, 60)
    await second.release(connection)
    assert not await second.take(connection, 60), "only its holder can release it"
    await first.release(connection)
    assert await second.take(connection, 60)
    assert await LeaseRow("other", "recorder", Settings()).take(connection, 60)


async def test_a_lease_is_counted_from_when_it_is_taken_and_not_from_when_its_transaction_began(
    connection: asyncpg.Connection,
) -> None:
    first, second = (LeaseRow("sweep", "recorder", Settings(slot=slot)) for slot in "12")
    async with connection.transaction():
        assert await first.take(connection, 0.2)
        await asyncio.sleep(0.3)
        assert await second.take(connection, 0.2), "the first one's has ended meanwhile"
        assert not await first.take(connection, 60), "the second one's has not"
