"""Groups of the directory: listing, looking at one, and groups within groups."""

from dataclasses import dataclass

from broadcast.audience.rows import fault_of_group
from broadcast.cells.names import look_alikes, read_name
from broadcast.database import Connection
from broadcast.errors import InputError

LIST = """
SELECT groups.name, coalesce(members.count, 0) AS members,
       ARRAY(
           SELECT child.name FROM group_groups JOIN groups AS child ON child.id = group_groups.child_id
           WHERE group_groups.parent_id = groups.id ORDER BY child.name
       ) AS children
FROM groups LEFT JOIN (SELECT group_id, count(*) FROM group_members GROUP BY 1) AS members ON group_id = groups.id
ORDER BY groups.name
"""

SHOW = """
WITH RECURSIVE reached (group_id) AS (
    SELECT $1::integer
    UNION
    SELECT child_id FROM group_groups JOIN reached ON parent_id = group_id
),
people AS MATERIALIZED (
    SELECT DISTINCT recipient_id FROM group_members JOIN reached USING (group_id)
)
SELECT
    (SELECT count(*) FROM group_members WHERE group_id = $1) AS members,
    count(*) AS people,
    count(suppressed) AS suppressed,
    count(*) FILTER (WHERE participant) AS participants,
    ARRAY(
        SELECT name FROM group_groups JOIN groups ON id = child_id WHERE parent_id = $1 ORDER BY name
    ) AS children,
    ARRAY(
        SELECT name FROM group_groups JOIN groups ON id = parent_id WHERE child_id = $1 ORDER BY name
    ) AS parents,
    ARRAY(
        SELECT recipient_id FROM group_members WHERE group_id = $1 ORDER BY recipient_id LIMIT $2
    ) AS recipient_ids
FROM people JOIN recipients ON recipients.id = people.recipient_id
"""

LANGUAGES = """
WITH RECURSIVE reached (group_id) AS (
    SELECT $1::integer
    UNION
    SELECT child_id FROM group_groups JOIN reached ON parent_id = group_id
)
SELECT coalesce(language, '') AS language, count(*)
FROM recipients WHERE id IN (SELECT recipient_id FROM group_members JOIN reached USING (group_id))
GROUP BY 1 ORDER BY 2 DESC, 1
"""

WITHIN = """
WITH RECURSIVE reached (group_id) AS (
    SELECT $1::integer
    UNION
    SELECT child_id FROM group_groups JOIN reached ON parent_id = group_id
)
SELECT EXISTS (SELECT FROM reached WHERE group_id = $2)
"""

MERGE = """
WITH moved AS (
    INSERT INTO group_members (group_id, recipient_id)
    SELECT $2, recipient_id FROM group_members WHERE group_id = $1 ON CONFLICT DO NOTHING RETURNING 1
), children AS (
    INSERT INTO group_groups (parent_id, child_id)
    SELECT $2, child_id FROM group_groups WHERE parent_id = $1 AND child_id <> $2 ON CONFLICT DO NOTHING
), parents AS (
    INSERT INTO group_groups (parent_id, child_id)
    SELECT parent_id, $2 FROM group_groups WHERE child_id = $1 AND parent_id <> $2 ON CONFLICT DO NOTHING
)
SELECT count(*) FROM moved
"""

SHOWN_IDS = 20


@dataclass(frozen=True, slots=True)
class GroupLine:
    """One line of the list: people directly in it, the groups directly within it, and those that look like it."""

    name: str
    members: int
    children: tuple[str, ...]
    looks_like: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """One group. `members` are in it directly; `people` with those of the groups within, each person once.

    `suppressed` and `participants` are of the people; so is `languages`, tag to count, "" for those without one.
    `recipient_ids` are the first direct members.
    """

    name: str
    members: int
    people: int
    suppressed: int
    participants: int
    children: tuple[str, ...]
    parents: tuple[str, ...]
    languages: dict[str, int]
    recipient_ids: tuple[int, ...]


async def list_groups(connection: Connection) -> list[GroupLine]:
    """All groups by name."""
    rows = await connection.fetch(LIST)
    alike = {name: names for names in look_alikes(row["name"] for row in rows) for name in names}
    return [
        GroupLine(
            row["name"],
            row["members"],
            tuple(row["children"]),
            tuple(name for name in alike.get(row["name"], ()) if name != row["name"]),
        )
        for row in rows
    ]


async def show_group(connection: Connection, name: str) -> Group:
    """One group by its name; raises InputError when there is none."""
    group_id = await _find(connection, name)
    row = await connection.fetchrow(SHOW, group_id, SHOWN_IDS)
    assert row is not None  # noqa: S101 (an aggregate without GROUP BY always gives one row)
    languages = {line["language"]: line["count"] for line in await connection.fetch(LANGUAGES, group_id)}
    return Group(
        name=name,
        members=row["members"],
        people=row["people"],
        suppressed=row["suppressed"],
        participants=row["participants"],
        children=tuple(row["children"]),
        parents=tuple(row["parents"]),
        languages=languages,
        recipient_ids=tuple(row["recipient_ids"]),
    )


async def nest_group(connection: Connection, parent: str, child: str) -> None:
    """Put group `child` into group `parent`, which is made if there is none; harmless when it is in it already.

    Raises InputError when there is no group `child`, when it holds `parent` itself, however deep, or when no group may
    have the name `parent`.
    """
    fault = fault_of_group(read_name(parent))
    if fault is not None:
        raise InputError(f"group {parent!r} {fault}")
    async with connection.transaction():
        child_id = await _find(connection, child)
        await connection.execute("LOCK TABLE group_groups IN SHARE ROW EXCLUSIVE MODE")  # two halves of a ring
        await connection.execute("INSERT INTO groups (name) VALUES ($1) ON CONFLICT DO NOTHING", read_name(parent))
        parent_id = await _find(connection, parent)
        if await connection.fetchval(WITHIN, child_id, parent_id):
            raise InputError(f"group {child!r} holds {parent!r}: a group cannot be within itself")
        await connection.execute(
            "INSERT INTO group_groups (parent_id, child_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", parent_id, child_id
        )


async def unnest_group(connection: Connection, parent: str, child: str) -> None:
    """Take group `child` out of group `parent`; raises InputError when it is not in it."""
    pair = await _find(connection, parent), await _find(connection, child)
    tag = await connection.execute("DELETE FROM group_groups WHERE parent_id = $1 AND child_id = $2", *pair)
    if tag == "DELETE 0":
        raise InputError(f"group {child!r} is not within {parent!r}: `broadcast groups show {parent}` says what is")


async def merge_groups(connection: Connection, name: str, into: str) -> int:
    """Move the members of group `name`, and what it holds, to group `into`, and delete it.

    Returns how many were new there. Raises InputError when there is no such group, or one holds the other.
    """
    async with connection.transaction():
        await connection.execute("LOCK TABLE groups, group_members, group_groups IN SHARE ROW EXCLUSIVE MODE")
        pair = await _find(connection, name), await _find(connection, into)
        if pair[0] == pair[1]:
            raise InputError(f"group {into!r}: a group cannot be merged into itself")
        if await connection.fetchval(WITHIN, *pair) or await connection.fetchval(WITHIN, *reversed(pair)):
            raise InputError(
                f"one of the groups {name!r} and {into!r} is within the other: `broadcast groups unnest` first"
            )
        moved: int = await connection.fetchval(MERGE, *pair)
        await connection.execute("DELETE FROM group_members WHERE group_id = $1", pair[0])
        await connection.execute("DELETE FROM groups WHERE id = $1", pair[0])
        return moved


async def _find(connection: Connection, name: str) -> int:
    # As it is given, so that a name that looks like another can be shown and merged; else as imports read names.
    group_id = await connection.fetchval(
        "SELECT id FROM groups WHERE name = ANY ($1::text[]) ORDER BY name = $2 DESC LIMIT 1",
        [name, read_name(name)],
        name,
    )
    if group_id is None:
        raise InputError(f"group {name!r} does not exist: `broadcast groups list` names those that do")
    assert isinstance(group_id, int)  # noqa: S101 (it is an integer column)
    return group_id
