"""A connection to an empty directory, and a short way to fill it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from broadcast.audience.importing import ImportResult, Options, import_recipients

Load = Callable[..., Awaitable[ImportResult]]


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def load(connection: asyncpg.Connection, tmp_path: Path) -> Load:
    """Import lines of CSV, the header first; the report goes to `report.csv`."""

    async def load(*lines: str, **options: object) -> ImportResult:
        path = tmp_path / "recipients.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        wanted = Options(**options)  # type: ignore[arg-type]
        return await import_recipients(connection, path, tmp_path / "report.csv", wanted)

    return load
