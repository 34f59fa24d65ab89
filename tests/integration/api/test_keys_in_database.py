"""API keys in PostgreSQL: shown once, stored hashed, names free again after a revocation."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from broadcast.errors import InputError
from broadcast.keys import Keyring, KeyUnknownError, create_key, list_keys, read_hashes, revoke_key


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_a_key_is_known_by_its_token_and_stored_without_it(connection: asyncpg.Connection) -> None:
    key, token = await create_key(connection, "anna")
    ring = Keyring()
    ring.replace(await read_hashes(connection))
    assert ring.owner_of(token) == "anna"
    secret = token.partition(".")[2]
    assert len(secret) >= 43
    stored = await connection.fetchval("SELECT api_keys::text FROM api_keys WHERE id = $1", key.id)
    assert secret not in stored
    assert secret.encode().hex() not in stored


async def test_a_name_is_one_active_key(connection: asyncpg.Connection) -> None:
    first, token = await create_key(connection, "anna")
    with pytest.raises(InputError, match="anna"):
        await create_key(connection, "anna")
    revoked = await revoke_key(connection, "anna")
    assert (revoked.id, revoked.revoked_at is not None) == (first.id, True)
    second, other = await create_key(connection, "anna")
    ring = Keyring()
    ring.replace(await read_hashes(connection))
    assert (ring.owner_of(token), ring.owner_of(other)) == (None, "anna")
    assert [(key.id, key.revoked_at is None) for key in await list_keys(connection)] == [
        (first.id, False),
        (second.id, True),
    ]
    assert (await revoke_key(connection, second.id)).id == second.id


async def test_revoking_what_is_not_there(connection: asyncpg.Connection) -> None:
    with pytest.raises(KeyUnknownError, match="keys list"):
        await revoke_key(connection, "nobody")


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "-x"])
async def test_names_that_are_none(connection: asyncpg.Connection, name: str) -> None:
    with pytest.raises(InputError, match="key name"):
        await create_key(connection, name)
