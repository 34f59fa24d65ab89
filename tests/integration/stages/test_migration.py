"""Bringing a database to the newest schema, at any address that asyncpg reads."""

import pytest

from broadcast.database import migrate
from broadcast.errors import SettingsError


async def test_an_address_may_name_an_sslmode(database_url: str) -> None:
    await migrate(f"{database_url}{'&' if '?' in database_url else '?'}sslmode=disable")


async def test_an_sslmode_that_does_not_exist_is_named(database_url: str) -> None:
    with pytest.raises(SettingsError, match=r"BROADCAST_DATABASE_URL: .*sslmode"):
        await migrate(f"{database_url}{'&' if '?' in database_url else '?'}sslmode=foo")
