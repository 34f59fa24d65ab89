"""Resolving audiences: each person once, at one instant, stored once, with digests anybody can recompute."""

import asyncio
import json
from uuid import UUID, uuid4

import asyncpg
import pytest

from broadcast.audience import (
    Audience,
    ChunkError,
    chain,
    chunk_digest,
    find_doubts,
    missing_groups,
    read_chunk,
    resolve,
)
from broadcast.audience.chunks import GENESIS
from broadcast.audience.groups import nest_group
from broadcast.audience.people import erase_recipient, suppress_recipient
from broadcast.errors import InputError
from tests.support.waiting import eventually

NUMBERS = [f"+491500{number:07d}" for number in range(30)]


@pytest.fixture
async def ids(connection: asyncpg.Connection) -> list[int]:
    """Thirty people: ten in each of `a`, `b`, `c`, and every third in all of them; every tenth participates."""
    rows = await connection.fetch(
        "INSERT INTO recipients (msisdn, language, participant) "
        "SELECT msisdn, CASE place % 2 WHEN 0 THEN 'de' END, place % 10 = 1 "
        "FROM unnest($1::text[]) WITH ORDINALITY AS n (msisdn, place) RETURNING id",
        NUMBERS,
    )
    ids = sorted(row["id"] for row in rows)
    await connection.execute("INSERT INTO groups (name) SELECT unnest('{a,b,c,nobody}'::text[])")
    members = [("abc"[place // 10], member) for place, member in enumerate(ids)]
    members += [(name, member) for name in "abc" for member in ids[::3]]
    await connection.executemany(
        "INSERT INTO group_members SELECT id, $2 FROM groups WHERE name = $1 ON CONFLICT DO NOTHING", members
    )
    return ids


async def waits_for_a_lock(connection: asyncpg.Connection) -> bool:
    """True while another session of this database waits for one."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return count > 0


async def stored(connection: asyncpg.Connection, alert_id: UUID) -> list[list[int]]:
    rows = await connection.fetch("SELECT recipients FROM chunks WHERE alert_id = $1 ORDER BY chunk", alert_id)
    return [row["recipients"] for row in rows]


async def test_each_person_once_in_chunks_of_ascending_ids(connection: asyncpg.Connection, ids: list[int]) -> None:
    alert_id = uuid4()
    audience = await resolve(connection, alert_id, ["a", "b", "c"], chunk_size=7, participants_only=False)
    assert (audience.count, audience.suppressed, audience.chunks, audience.missing) == (30, 0, 5, ())
    assert await stored(connection, alert_id) == [ids[start : start + 7] for start in range(0, 30, 7)]


async def test_groups_within_groups_even_in_a_ring(connection: asyncpg.Connection, ids: list[int]) -> None:
    await nest_group(connection, "middle", "a")
    await nest_group(connection, "top", "middle")
    await nest_group(connection, "top", "b")
    with pytest.raises(InputError, match="within itself"):
        await nest_group(connection, "a", "top")
    await connection.execute(
        "INSERT INTO group_groups SELECT p.id, c.id FROM groups p, groups c WHERE p.name = 'a' AND c.name = 'top'"
    )
    for name in ("top", "a", "middle"):
        alert_id = uuid4()
        audience = await resolve(connection, alert_id, [name], chunk_size=100, participants_only=False)
        wanted = sorted({*ids[:20], *ids[::3]})
        assert (audience.count, await stored(connection, alert_id)) == (len(wanted), [wanted])


async def test_digests_and_chain_equal_pythons(connection: asyncpg.Connection, ids: list[int]) -> None:
    await suppress_recipient(connection, ids[2], 'said "no" \\ für\nimmer\t\x7f\u2028😀')
    await suppress_recipient(connection, ids[9], "opted out")
    alert_id = uuid4()
    audience = await resolve(connection, alert_id, ["a", "b", "c"], chunk_size=4, participants_only=False)
    assert audience.suppressed == 2
    previous = GENESIS
    for row in await connection.fetch("SELECT * FROM chunks WHERE alert_id = $1 ORDER BY chunk", alert_id):
        suppressed = {int(key): reason for key, reason in json.loads(row["suppressed"]).items()}
        assert row["digest"] == chunk_digest(alert_id, row["chunk"], row["recipients"], suppressed)
        previous = chain(previous, row["digest"])
        assert row["chain"] == previous
        assert (row["first_id"], row["last_id"], row["count"]) == (
            row["recipients"][0],
            row["recipients"][-1],
            len(row["recipients"]),
        )
    assert audience.chain == previous


async def test_a_repeat_reads_back_whatever_has_changed(connection: asyncpg.Connection, ids: list[int]) -> None:
    alert_id = uuid4()
    first = await resolve(connection, alert_id, ["a"], chunk_size=5, participants_only=False)
    before = await connection.fetch("SELECT * FROM chunks WHERE alert_id = $1 ORDER BY chunk", alert_id)
    await connection.execute(
        "INSERT INTO group_members SELECT groups.id, r.id FROM groups, recipients r ON CONFLICT DO NOTHING"
    )
    await suppress_recipient(connection, ids[0], "opted out")
    assert await resolve(connection, alert_id, ["a"], chunk_size=3, participants_only=False) == first
    assert await connection.fetch("SELECT * FROM chunks WHERE alert_id = $1 ORDER BY chunk", alert_id) == before


async def test_of_two_at_the_same_moment_one_stores_and_both_agree(
    database_url: str, connection: asyncpg.Connection, ids: list[int]
) -> None:
    other = await asyncpg.connect(database_url)
    alert_id = uuid4()
    transaction = connection.transaction()
    await transaction.start()
    first = await resolve(connection, alert_id, ["a"], chunk_size=5, participants_only=False)
    await other.execute(
        "INSERT INTO group_members SELECT groups.id, r.id FROM groups, recipients r ON CONFLICT DO NOTHING"
    )
    second = asyncio.create_task(resolve(other, alert_id, ["a"], chunk_size=5, participants_only=False))
    await eventually(lambda: waits_for_a_lock(connection), "the second waits for the first to commit")
    assert not second.done()
    await transaction.commit()
    assert await second == first
    assert [member for chunk in await stored(other, alert_id) for member in chunk] == sorted({*ids[:10], *ids[::3]})
    await other.close()


async def test_when_the_first_dies_the_second_stores(
    database_url: str, connection: asyncpg.Connection, ids: list[int]
) -> None:
    other = await asyncpg.connect(database_url)
    alert_id = uuid4()
    transaction = other.transaction()
    await transaction.start()
    await resolve(other, alert_id, ["a"], chunk_size=5, participants_only=False)
    second = asyncio.create_task(resolve(connection, alert_id, ["a"], chunk_size=5, participants_only=False))
    await eventually(lambda: waits_for_a_lock(other), "the second waits for the first")
    other.terminate()
    assert (await second).count == len({*ids[:10], *ids[::3]})
    assert await stored(connection, alert_id)


async def test_only_participants_of_an_exercise(connection: asyncpg.Connection, ids: list[int]) -> None:
    alert_id = uuid4()
    audience = await resolve(connection, alert_id, ["a", "b"], chunk_size=5, participants_only=True)
    assert (audience.count, await stored(connection, alert_id)) == (2, [[ids[0], ids[10]]])


@pytest.mark.parametrize("groups", [["nobody"], ["a", "gone"], ["gone"]])
async def test_an_empty_or_lost_target_is_empty_and_stays_so(
    connection: asyncpg.Connection, ids: list[int], groups: list[str]
) -> None:
    alert_id = uuid4()
    lost = tuple(name for name in groups if name == "gone")
    expected = Audience(0, 0, 0, GENESIS, lost)
    assert await resolve(connection, alert_id, groups, chunk_size=5, participants_only=False) == expected
    await connection.execute("INSERT INTO groups (name) VALUES ('gone') ON CONFLICT DO NOTHING")
    await connection.execute(
        "INSERT INTO group_members SELECT groups.id, r.id FROM groups, recipients r ON CONFLICT DO NOTHING"
    )
    assert await resolve(connection, alert_id, groups, chunk_size=5, participants_only=False) == expected
    assert not await stored(connection, alert_id)


async def test_no_groups_at_all_are_refused(connection: asyncpg.Connection) -> None:
    with pytest.raises(InputError, match="nobody is addressed by default"):
        await resolve(connection, uuid4(), [], chunk_size=5, participants_only=False)


async def test_missing_groups(connection: asyncpg.Connection, ids: list[int]) -> None:
    assert await missing_groups(connection, ["a", "z", "nobody", "y", "z"]) == ["y", "z"]
    assert await missing_groups(connection, []) == []


async def test_a_chunk_is_read_as_columns_without_the_suppressed_and_the_erased(
    connection: asyncpg.Connection, ids: list[int]
) -> None:
    await suppress_recipient(connection, ids[4], "opted out")
    alert_id = uuid4()
    await resolve(connection, alert_id, ["a", "b", "c"], chunk_size=10, participants_only=False)
    await erase_recipient(connection, ids[7], number_key=b"k")
    await suppress_recipient(connection, ids[8], "too late for this alert")
    chunk = await read_chunk(connection, alert_id, 0)
    left = [place for place in range(10) if place not in {4, 7}]
    assert chunk.recipient_ids == [ids[place] for place in left]
    assert chunk.msisdns == [NUMBERS[place] for place in left]
    assert chunk.languages == ["de" if place % 2 else None for place in left]
    assert chunk.missing == [ids[7]]


async def test_a_chunk_of_nobody_reachable_is_empty(connection: asyncpg.Connection, ids: list[int]) -> None:
    for member in ids:
        await suppress_recipient(connection, member, "opted out")
    alert_id = uuid4()
    audience = await resolve(connection, alert_id, ["a", "b", "c"], chunk_size=100, participants_only=False)
    assert (audience.count, audience.suppressed) == (30, 30)
    chunk = await read_chunk(connection, alert_id, 0)
    assert (chunk.recipient_ids, chunk.msisdns, chunk.languages, chunk.missing) == ([], [], [], [])


async def test_a_chunk_that_is_not_stored(connection: asyncpg.Connection, ids: list[int]) -> None:
    with pytest.raises(ChunkError, match="chunk 3"):
        await read_chunk(connection, uuid4(), 3)


async def test_groups_that_are_empty_or_look_like_others_are_found(
    connection: asyncpg.Connection, ids: list[int]
) -> None:
    await connection.execute("INSERT INTO groups (name) VALUES ('A'), ('parent')")
    await nest_group(connection, "parent", "b")
    doubts = await find_doubts(connection, ["a", "A", "parent", "c", "nobody", "gone"])
    assert [(doubt.name, doubt.known, doubt.empty) for doubt in doubts] == [
        ("a", True, False),
        ("A", True, True),
        ("nobody", True, True),
        ("gone", False, True),
    ]
    members = await connection.fetchval(
        "SELECT count(*) FROM group_members JOIN groups ON groups.id = group_id WHERE name = 'a'"
    )
    assert [doubt.alike for doubt in doubts] == [(("A", 0),), (("a", members),), (), ()]
