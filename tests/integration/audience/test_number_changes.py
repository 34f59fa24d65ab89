"""The numbers of an audience are those of the instant of its resolution, whatever the directory does after it."""

import asyncio
from collections.abc import Sequence
from itertools import count
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broadcast.audience import read_chunk, resolve
from broadcast.audience.number_changes import delete_unneeded_changes
from broadcast.audience.people import erase_recipient

KEY = b"k" * 32
FREE = "+4915199999999"


async def add_people(connection: asyncpg.Connection, people: int) -> dict[int, str]:
    """A group `all` of so many; their numbers by id."""
    group = await connection.fetchval("INSERT INTO groups (name) VALUES ('all') RETURNING id")
    rows = await connection.fetch(
        "INSERT INTO recipients (msisdn) SELECT '+49150' || (1000000 + n) FROM generate_series(1, $1::int) n "
        "RETURNING id, msisdn",
        people,
    )
    await connection.execute("INSERT INTO group_members SELECT $1, id FROM recipients", group)
    return {row["id"]: row["msisdn"] for row in rows}


async def store(connection: asyncpg.Connection, chunk_size: int, *, state: str = "expanding") -> UUID:
    """An alert with its audience."""
    alert_id = uuid4()
    await connection.execute(
        "INSERT INTO alerts (alert_id, state, lane, sender, identifier, sent, status, msg_type, document, digest, "
        "groups, event_offset, actor, expires_at, accepted_at) VALUES ($1, $2, 'immediate', 's', 'i', now(), 'Actual', "
        "'Alert', '{}', '', '{all}', 0, 'test', now() + interval '1 hour', now())",
        *(alert_id, state),
    )
    await resolve(connection, alert_id, ["all"], chunk_size=chunk_size, participants_only=False)
    return alert_id


async def swap(connection: asyncpg.Connection, first: int, second: int) -> None:
    """Exchange the numbers of two people, as an import does: one step after the other."""
    rows = await connection.fetch("SELECT id, msisdn FROM recipients WHERE id IN ($1, $2)", first, second)
    numbers = {row["id"]: row["msisdn"] for row in rows}
    if len(numbers) == 2:
        for recipient_id, msisdn in ((first, FREE), (second, numbers[first]), (first, numbers[second])):
            await connection.execute("UPDATE recipients SET msisdn = $2 WHERE id = $1", recipient_id, msisdn)


moves = st.lists(st.tuples(st.sampled_from(["swap", "new", "erase"]), st.integers(0, 9), st.integers(0, 9)), max_size=3)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    people=st.integers(2, 10),
    chunk_size=st.integers(1, 6),
    rounds=st.lists(moves, min_size=2, max_size=11),
    open_before=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    asks_between=st.integers(0, 3),
)
def test_no_number_is_in_two_chunks_and_none_is_lost_whatever_moves_between(
    database_url: str,
    people: int,
    chunk_size: int,
    rounds: Sequence[list[tuple[str, int, int]]],
    open_before: tuple[int, int],
    asks_between: int,
) -> None:
    asyncio.run(_read_with_moves(database_url, people, chunk_size, rounds, open_before, asks_between))


async def _read_with_moves(
    database_url: str,
    people: int,
    chunk_size: int,
    rounds: Sequence[list[tuple[str, int, int]]],
    open_before: tuple[int, int],
    asks_between: int,
) -> None:
    connection, other = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        await connection.execute("TRUNCATE recipients, groups, group_members, group_groups, exclusions, number_changes")
        numbers = await add_people(connection, people)
        ids = list(numbers)
        # This change is not committed when the audience is resolved, though its transaction began before.
        began = other.transaction()
        await began.start()
        if open_before[0] % people != open_before[1] % people:
            await swap(other, ids[open_before[0] % people], ids[open_before[1] % people])
        alert_id = await store(connection, chunk_size)
        await began.commit()
        erased: set[int] = set()
        barred: set[str] = set()
        found: dict[int, str] = {}
        fresh = count(1000)
        for chunk in range(-(-people // chunk_size)):
            for kind, one, two in rounds[chunk] if chunk < len(rounds) else ():
                first, second = ids[one % people], ids[two % people]
                if kind == "swap" and first != second:
                    await swap(connection, first, second)
                elif kind == "new":
                    await connection.execute(
                        "UPDATE recipients SET msisdn = $2 WHERE id = $1", first, f"+4916{next(fresh)}"
                    )
                elif kind == "erase" and first not in erased:
                    barred.add(await connection.fetchval("SELECT msisdn FROM recipients WHERE id = $1", first))
                    await erase_recipient(connection, first, number_key=KEY)
                    erased.add(first)
            if asks_between > chunk:
                await connection.execute("UPDATE number_changes SET changed_at = now() - interval '2 hours'")
                await delete_unneeded_changes(connection)
            rows = await read_chunk(connection, alert_id, chunk)
            own = ids[chunk * chunk_size : (chunk + 1) * chunk_size]
            assert sorted([*rows.recipient_ids, *rows.missing]) == own
            assert len(rows.recipient_ids) == len(rows.msisdns) == len(rows.languages)
            assert all(one in erased or numbers[one] in barred for one in rows.missing)
            assert not erased & set(rows.recipient_ids)
            found.update(zip(rows.recipient_ids, rows.msisdns, strict=True))
        assert found.items() <= numbers.items()
        assert len(set(found.values())) == len(found)
    finally:
        await connection.close()
        await other.close()


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("SELECT 1", 1),
        ("UPDATE alerts SET completed_at = now()", 0),
        ("UPDATE alerts SET expires_at = now() - interval '59 minutes'", 1),
        ("UPDATE alerts SET expires_at = now() - interval '61 minutes'", 0),
        ("UPDATE alerts SET state = 'refused'", 0),
        ("UPDATE audiences SET snapshot = NULL", 0),
    ],
    ids=["on its way", "completed", "expired within the hour", "expired", "refused", "of an older release"],
)
async def test_a_number_of_before_is_kept_as_long_as_an_alert_on_its_way_needs_it(
    connection: asyncpg.Connection, statement: str, left: int
) -> None:
    numbers = await add_people(connection, 2)
    await store(connection, 1)
    await connection.execute("UPDATE recipients SET msisdn = $1 WHERE id = $2", FREE, min(numbers))
    await connection.execute(statement)
    await delete_unneeded_changes(connection)
    assert await connection.fetchval("SELECT count(*) FROM number_changes") == 1, "a resolution may be under way"
    await connection.execute("UPDATE number_changes SET changed_at = now() - interval '59 minutes'")
    await delete_unneeded_changes(connection)
    assert await connection.fetchval("SELECT count(*) FROM number_changes") == 1, "one that takes an hour, too"
    await connection.execute("UPDATE number_changes SET changed_at = now() - interval '61 minutes'")
    await delete_unneeded_changes(connection)
    assert await connection.fetchval("SELECT count(*) FROM number_changes") == left


async def test_a_change_before_an_audience_is_found_is_not_kept_for_it(connection: asyncpg.Connection) -> None:
    numbers = await add_people(connection, 1)
    await connection.execute("UPDATE recipients SET msisdn = $1", FREE)
    alert_id = await store(connection, 1)
    assert (await read_chunk(connection, alert_id, 0)).msisdns == [FREE] != list(numbers.values())
    await connection.execute("UPDATE number_changes SET changed_at = now() - interval '61 minutes'")
    await delete_unneeded_changes(connection)
    assert await connection.fetchval("SELECT count(*) FROM number_changes") == 0


async def test_an_erased_person_has_no_number_of_before_either(connection: asyncpg.Connection) -> None:
    numbers = await add_people(connection, 3)
    first, second, third = sorted(numbers)
    alert_id = await store(connection, 1)
    await swap(connection, first, second)
    await erase_recipient(connection, second, number_key=KEY)
    held = await connection.fetch("SELECT msisdn FROM number_changes WHERE msisdn = $1", numbers[first])
    assert held == [], "the erased person had this number last"
    assert (await read_chunk(connection, alert_id, 0)).missing == [first]
    assert (await read_chunk(connection, alert_id, 1)).missing == [second]
    assert (await read_chunk(connection, alert_id, 2)).msisdns == [numbers[third]]


async def test_an_audience_of_an_older_release_reads_the_directory(connection: asyncpg.Connection) -> None:
    numbers = await add_people(connection, 1)
    alert_id = await store(connection, 1)
    await connection.execute("UPDATE audiences SET snapshot = NULL")
    await connection.execute("UPDATE recipients SET msisdn = $1", FREE)
    assert (await read_chunk(connection, alert_id, 0)).msisdns == [FREE] != list(numbers.values())


async def test_a_number_is_kept_for_the_oldest_of_the_alerts_on_their_way(connection: asyncpg.Connection) -> None:
    numbers = await add_people(connection, 1)
    first = await store(connection, 1)
    await connection.execute("UPDATE recipients SET msisdn = $1", FREE)
    second = await store(connection, 1)
    await connection.execute("UPDATE number_changes SET changed_at = now() - interval '61 minutes'")
    await delete_unneeded_changes(connection)
    assert (await read_chunk(connection, first, 0)).msisdns == list(numbers.values())
    assert (await read_chunk(connection, second, 0)).msisdns == [FREE]
