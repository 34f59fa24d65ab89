"""A sender's alarm is a row like all others, also when PostgreSQL was away when it was raised."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from broadcast import metrics
from broadcast.alarms import (
    BIND_DOWN,
    CONTROL_LOST_ITS_TAIL,
    JOBS_FAILED,
    JOBS_LOST_THEIR_TAIL,
    ROUTES_REFUSED,
    SENDER_KINDS,
    Alarm,
    keep_alarms,
    list_alarms,
    show_alarms,
)
from broadcast.database.pool import connect
from broadcast.embedded.servers.postgres import Postgres
from broadcast.settings import Settings
from tests.support.waiting import eventually

BUDGET_SECONDS = 30.0


def settings_of(database_url: str) -> Settings:
    return Settings(database_url=database_url)


async def rows(settings: Settings) -> list[Alarm]:
    connection = await connect(settings)
    try:
        return await list_alarms(connection)
    finally:
        await connection.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(BUDGET_SECONDS):
        while not await condition():
            await asyncio.sleep(0.05)


def counted(kind: str) -> float:
    return metrics.REGISTRY.get_sample_value("tocsin_sender_alarms_total", {"kind": kind}) or 0.0


async def test_an_alarm_is_a_row_a_log_line_and_a_count(database_url: str) -> None:
    settings = settings_of(database_url)
    before = counted(JOBS_FAILED)
    with structlog.testing.capture_logs() as lines:
        async with keep_alarms(settings) as alarms:
            for _ in range(3):
                alarms.raise_soon(JOBS_FAILED, "an alert", "no control record")
            assert counted(JOBS_FAILED) - before == 3
            assert [line["event"] for line in lines] == ["alarm_raised"] * 3

            async def written() -> bool:
                return not alarms.waiting

            await until(written)
    (row,) = await rows(settings)
    assert (row.kind, row.subject, row.detail) == (JOBS_FAILED, "an alert", "no control record")
    connection = await connect(settings)
    try:
        await show_alarms(connection)
    finally:
        await connection.close()
    assert metrics.REGISTRY.get_sample_value("tocsin_alarms", {"kind": JOBS_FAILED}) == 1


async def test_one_that_was_raised_while_postgresql_was_away_is_a_row_when_it_is_back(
    database_url: str, postgres_server: Postgres
) -> None:
    settings = settings_of(database_url)
    async with keep_alarms(settings) as alarms:
        await postgres_server.kill9()
        try:
            with structlog.testing.capture_logs() as lines:
                alarms.raise_soon(JOBS_LOST_THEIR_TAIL, "jobs/0", "\0" + "x" * 10_000)

                async def waited() -> bool:
                    return any(line["event"] == "service_awaited" for line in lines)

                await until(waited)
            assert alarms.waiting == 1
        finally:
            await postgres_server.start()

        async def written() -> bool:
            return not alarms.waiting

        await until(written)
    (row,) = await rows(settings)
    assert (row.kind, row.subject, len(row.detail)) == (JOBS_LOST_THEIR_TAIL, "jobs/0", 2_000)


async def test_one_that_postgresql_can_never_keep_does_not_hold_up_others(database_url: str) -> None:
    settings = settings_of(database_url)
    async with keep_alarms(settings) as alarms:
        alarms.raise_soon(JOBS_FAILED, "a" * 35 + "\0", "a surrogate \ud800 and a NUL \0")
        alarms.raise_soon(JOBS_LOST_THEIR_TAIL, "jobs/0", "segments (491701234567,) of +49 170 1234567 do not exist")
        await eventually(lambda: alarms.waiting == 0, "no alarm waits")
    written = await rows(settings)
    assert "170" not in "".join(row.detail for row in written)
    assert {(row.kind, row.subject) for row in written} == {
        (JOBS_FAILED, "a" * 35),
        (JOBS_LOST_THEIR_TAIL, "jobs/0"),
    }


async def test_what_was_raised_last_is_written_on_the_way_out(database_url: str) -> None:
    settings = settings_of(database_url)
    async with keep_alarms(settings) as alarms:
        alarms.raise_soon(CONTROL_LOST_ITS_TAIL, "control/0", "it is read from its beginning")
    assert [row.kind for row in await rows(settings)] == [CONTROL_LOST_ITS_TAIL]


async def test_a_database_that_stays_away_does_not_hold_up_the_end_and_memory_is_bounded() -> None:
    settings = settings_of("postgresql://nobody@127.0.0.1:1/nothing")
    with structlog.testing.capture_logs():
        async with asyncio.timeout(10), keep_alarms(settings) as alarms:
            for number in range(3_000):
                alarms.raise_soon(SENDER_KINDS[0], f"alert {number}", "no control record")
            assert alarms.waiting == 1_000


async def test_an_alarm_whose_cause_has_gone_is_cleared_and_one_that_changes_keeps_its_row(database_url: str) -> None:
    settings = settings_of(database_url)

    async with keep_alarms(settings) as alarms:

        async def written() -> bool:
            return not alarms.waiting

        alarms.end_soon(BIND_DOWN, "acc")
        alarms.raise_soon(BIND_DOWN, "acc", "refused; next try at 10:00:00 UTC")
        await until(written)
        alarms.renew_soon(BIND_DOWN, "acc", "refused; next try at 10:01:00 UTC")
        await until(written)
        (row,) = await rows(settings)
        assert (row.subject, row.detail) == ("acc", "refused; next try at 10:01:00 UTC")
        alarms.end_soon(BIND_DOWN, "acc")
        await until(written)
        assert await rows(settings) == []

        with structlog.testing.capture_logs() as lines:
            alarms.renew_soon(BIND_DOWN, "acc", "refused; next try at 10:02:00 UTC")
            await until(written)
        assert [line for line in lines if line["event"] == "alarm_raised"] == []
        (again,) = await rows(settings)
        assert again.id != row.id, "one that was cleared while its cause holds is open again"


async def test_one_that_is_raised_again_for_another_reason_has_the_new_reason(database_url: str) -> None:
    settings = settings_of(database_url)

    async with keep_alarms(settings) as alarms:

        async def written() -> bool:
            return not alarms.waiting

        alarms.raise_soon(ROUTES_REFUSED, "sender a", "routes.toml:3: the first", replace=True)
        await until(written)
        with structlog.testing.capture_logs() as lines:
            alarms.raise_soon(ROUTES_REFUSED, "sender a", "routes.toml:9: the second", replace=True)
        assert [line["detail"] for line in lines] == ["routes.toml:9: the second"]
        await until(written)
    (row,) = await rows(settings)
    assert row.detail == "routes.toml:9: the second"


async def test_the_last_word_on_an_alarm_is_written_though_it_changed_while_postgresql_was_away() -> None:
    settings = settings_of("postgresql://nobody@127.0.0.1:1/nothing")
    with structlog.testing.capture_logs():
        async with keep_alarms(settings) as alarms:
            alarms.raise_soon(BIND_DOWN, "acc", "refused")
            alarms.end_soon(BIND_DOWN, "acc")
            assert alarms._waiting == {(BIND_DOWN, "acc"): (None, False)}
            alarms.raise_soon(BIND_DOWN, "acc", "closed")
            alarms.raise_soon(BIND_DOWN, "acc", "closed again")
            assert alarms._waiting == {(BIND_DOWN, "acc"): ("closed", False)}
            alarms.renew_soon(BIND_DOWN, "acc", "refused again")
            assert alarms._waiting == {(BIND_DOWN, "acc"): ("refused again", True)}


async def test_alarms_of_accounts_that_the_routes_file_lacks_end_and_only_those_of_this_slot(database_url: str) -> None:
    settings = settings_of(database_url)
    async with keep_alarms(settings) as alarms:
        for subject in ("here, sender a", "gone, sender a", "gone, sender aa", "gone, sender b, sender"):
            alarms.raise_soon(BIND_DOWN, subject, "refused")
        alarms.raise_soon(ROUTES_REFUSED, "sender a", "refused")
        await until(lambda: has_rows(settings, 5))
    async with keep_alarms(settings) as alarms:
        alarms.end_absent_soon("a", ["here"])
        await until(lambda: has_rows(settings, 4))
    left = {alarm.subject for alarm in await rows(settings)}
    assert left == {"here, sender a", "gone, sender aa", "gone, sender b, sender", "sender a"}


async def has_rows(settings: Settings, number: int) -> bool:
    return len(await rows(settings)) == number
