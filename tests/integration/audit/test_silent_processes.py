"""A process that freezes is named by an alarm, and so is whoever holds a lock; the alarms end with their cause."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import pytest

from broadcast.alarms import BY_RECORDER
from broadcast.audit.watch import lock_waits, silent_processes
from broadcast.audit.watch.lock_waits import LockWaits, alarm_lock_waits
from broadcast.audit.watch.silent_processes import Silence, alarm_silent_processes
from broadcast.database import connect
from broadcast.database.process_rows import ProcessRow, keep_process_row
from broadcast.database.server_settings import OURS
from broadcast.settings import Settings
from tests.support.waiting import eventually


@pytest.fixture
def own(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(silent_processes, "CONFIRM_SECONDS", 0.0)
    return Settings(database_url=database_url, slot="1")


async def open_alarms(connection: asyncpg.Connection) -> list[tuple[str, str, str]]:
    rows = await connection.fetch("SELECT kind, subject, detail FROM alarms WHERE cleared_at IS NULL ORDER BY subject")
    return [(row["kind"], row["subject"], row["detail"]) for row in rows]


async def freeze(connection: asyncpg.Connection) -> None:
    await connection.execute("UPDATE processes SET seen_at = now() - interval '11 s'")


async def test_a_silent_process_is_named_until_it_writes_again(connection: asyncpg.Connection, own: Settings) -> None:
    row = ProcessRow(own, "planner")
    await row.write(connection)
    await alarm_silent_processes(connection, Silence())
    assert await open_alarms(connection) == []
    await freeze(connection)
    await alarm_silent_processes(connection, Silence())
    [(kind, subject, detail)] = await open_alarms(connection)
    assert (kind, subject) == ("process_silent", "planner 1")
    host, pid = (await connection.fetch("SELECT host, pid FROM processes"))[0]
    assert f"planner 1 on {host} (pid {pid}) has said nothing since 20" in detail
    await row.write(connection)
    await alarm_silent_processes(connection, Silence())
    assert await open_alarms(connection) == []


async def test_an_alarm_that_a_person_clears_forgets_the_process(connection: asyncpg.Connection, own: Settings) -> None:
    await ProcessRow(own, "sender").write(connection)
    await freeze(connection)
    await alarm_silent_processes(connection, Silence())
    await connection.execute("UPDATE alarms SET cleared_at = now(), cleared_by = 'anna'")
    await alarm_silent_processes(connection, Silence())
    assert await open_alarms(connection) == []
    assert await connection.fetchval("SELECT count(*) FROM processes") == 0


@pytest.mark.parametrize(
    ("seen_ago", "kind", "subject", "cleared_ago", "cleared_by", "known"),
    [
        (11, "process_silent", "sender 1", 1, "anna", 0),
        (9, "process_silent", "sender 1", 1, "anna", 1),
        (11, "clock_wrong", "sender 1", 1, "anna", 1),
        (11, "process_silent", "sender 2", 1, "anna", 1),
        (11, "process_silent", "planner 1", 1, "anna", 1),
        (11, "process_silent", "sender 1", 12, "anna", 1),
        (11, "process_silent", "sender 1", 1, BY_RECORDER, 1),
    ],
    ids=["gone for good", "writes", "another kind", "another slot", "another stage", "wrote since", "by the sweep"],
)
async def test_a_process_is_forgotten_only_if_a_person_cleared_its_own_alarm_since_it_wrote_last(
    connection: asyncpg.Connection,
    own: Settings,
    seen_ago: int,
    kind: str,
    subject: str,
    cleared_ago: int,
    cleared_by: str,
    known: int,
) -> None:
    await ProcessRow(own, "sender").write(connection)
    await connection.execute("UPDATE processes SET seen_at = now() - make_interval(secs => $1)", seen_ago)
    await connection.execute(
        "INSERT INTO alarms (kind, subject, detail, cleared_at, cleared_by) "
        "VALUES ($1, $2, 'd', now() - make_interval(secs => $3), $4)",
        *(kind, subject, cleared_ago, cleared_by),
    )
    await alarm_silent_processes(connection, Silence())
    assert await connection.fetchval("SELECT count(*) FROM processes") == known
    assert len(await open_alarms(connection)) == (known if seen_ago > 10 else 0)


async def test_a_process_is_silent_only_if_it_stays_so() -> None:
    """After an outage of PostgreSQL everybody was silent, and returns within a moment."""
    silence, one = Silence(), ("planner 1", datetime.now(UTC))
    confirm = silent_processes.CONFIRM_SECONDS
    assert silence.confirmed({one}, 100.0) == set()
    assert silence.confirmed({one}, 100.0 + confirm) == {one}
    assert silence.confirmed(set(), 101.0 + confirm) == set()
    assert silence.confirmed({one}, 102.0 + confirm) == set()


async def test_a_clean_stop_leaves_no_row(connection: asyncpg.Connection, own: Settings) -> None:
    async def written() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM processes WHERE stage = 'recorder' AND slot = '1'"))

    async with keep_process_row(own, "recorder"):
        await eventually(written, "the row is written", within_seconds=10)
    assert not await written()


async def test_senders_of_different_routes_may_have_one_slot(connection: asyncpg.Connection, own: Settings) -> None:
    for route in ("a", "b"):
        await ProcessRow(own.model_copy(update={"sender_route": route}), "sender").write(connection)
    rows = await connection.fetch("SELECT slot FROM processes ORDER BY slot")
    assert [row["slot"] for row in rows] == ["a 1", "b 1"]


async def test_whoever_holds_a_lock_is_named_and_ended_if_its_process_hangs(
    connection: asyncpg.Connection, own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_waits, "HELD_SECONDS", 0.0)
    holder, waiter = await connect(own, "recorder"), await connect(own, "planner")
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("INSERT INTO accounts (name) VALUES ('a')")
    waiting = asyncio.create_task(waiter.execute("INSERT INTO accounts (name) VALUES ('a')"))
    known, pid = LockWaits(), holder.get_server_pid()

    async def named() -> bool:
        await alarm_lock_waits(connection, known)
        return bool(await open_alarms(connection))

    await eventually(named, "the wait is an alarm", within_seconds=5)
    [(kind, subject, detail)] = await open_alarms(connection)
    assert (kind, subject) == ("lock_held", f"tocsin recorder 1, pid {pid}")
    assert "holds a lock that tocsin planner 1 waits for" in detail
    assert not holder.is_closed()
    monkeypatch.setattr(lock_waits, "HUNG_SECONDS", 0.0)
    await alarm_lock_waits(connection, known)
    await waiting

    async def ended() -> bool:
        await alarm_lock_waits(connection, known)
        return not await open_alarms(connection)

    await eventually(ended, "the alarm ends with the transaction", within_seconds=5)
    holder.terminate()
    waiter.terminate()


async def _rows_after(over: asyncio.Event) -> AsyncIterator[bytes]:
    await over.wait()
    yield b""


@pytest.mark.parametrize(
    ("name", "does", "ended"),
    [
        ("psql", "nothing", True),
        ("psql", "copies", False),
        ("psql", "calculates", False),
        (f"{OURS} recorder 1", "copies", True),
        (f"{OURS} recorder 1", "calculates", False),
    ],
)
async def test_only_a_session_that_waits_for_its_client_is_ended_and_a_strangers_only_if_it_does_nothing(
    connection: asyncpg.Connection, own: Settings, monkeypatch: pytest.MonkeyPatch, name: str, does: str, ended: bool
) -> None:
    url = own.database_url.get_secret_value()
    holder = await asyncpg.connect(url, server_settings={"application_name": name})
    waiter = await connect(own, "planner")
    await holder.execute("BEGIN; INSERT INTO accounts (name) VALUES ('a')")
    over = asyncio.Event()
    work = {
        "copies": lambda: holder.copy_to_table("accounts", source=_rows_after(over), columns=["name"]),
        "calculates": lambda: holder.execute("SELECT pg_sleep(60)"),
        "nothing": over.wait,
    }
    tasks = [
        asyncio.create_task(work[does]()),
        asyncio.create_task(waiter.execute("INSERT INTO accounts (name) VALUES ('a')")),
    ]
    known, pid = LockWaits(), holder.get_server_pid()

    async def seen() -> bool:
        await alarm_lock_waits(connection, known)
        return bool(known.seen)

    async def is_there() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid))

    async def works() -> bool:
        state = await connection.fetchval("SELECT state FROM pg_stat_activity WHERE pid = $1", pid)
        return bool(state == "active") is (does != "nothing")

    await eventually(works, "the holder works", within_seconds=5)
    await eventually(seen, "the wait is seen", within_seconds=5)
    assert await open_alarms(connection) == [], "for a moment everybody waits"
    monkeypatch.setattr(lock_waits, "HELD_SECONDS", 0.0)
    monkeypatch.setattr(lock_waits, "HUNG_SECONDS", 0.0)
    await alarm_lock_waits(connection, known)
    assert await connection.fetchval("SELECT array_agg(kind) FROM alarms") == ["lock_held"]
    if ended:
        await eventually(lambda: _negated(is_there), "the session is ended", within_seconds=5)
    else:
        assert await is_there()
    over.set()
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", [pid, waiter.get_server_pid()]
    )
    await asyncio.gather(*tasks, return_exceptions=True)
    holder.terminate()
    waiter.terminate()


async def _negated(condition: Callable[[], Awaitable[bool]]) -> bool:
    return not await condition()
