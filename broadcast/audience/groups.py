"""Groups of the directory: listing, looking at one, and groups within groups."""

from dataclasses import dataclass

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

SHOWN_IDS = 20


@dataclass(frozen=True, slots=True)
class GroupLine:
    """One line of the list: people directly in it, and the groups directly within it."""

    name: str
    members: int
    children: tuple[str, ...]


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
    return [GroupLine(row["name"], row["members"], tuple(row["children"])) for row in rows]


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

    Raises InputError when there is no group `child`, or when it holds `parent` itself, however deep.
    """
    async with connection.transaction():
        child_id = await _find(connection, child)
        await connection.execute("LOCK TABLE group_groups IN SHARE ROW EXCLUSIVE MODE")  # two halves of a ring
        await connection.execute("INSERT INTO groups (name) VALUES (normalize($1)) ON CONFLICT DO NOTHING", parent)
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


async def _find(connection: Connection, name: str) -> int:
    # Names are kept composed (NFC), as imports and alerts write them.
    group_id = await connection.fetchval("SELECT id FROM groups WHERE name = normalize($1)", name)
    if group_id is None:
        raise InputError(f"group {name!r} does not exist: `broadcast groups list` names those that do")
    assert isinstance(group_id, int)  # noqa: S101 (it is an integer column)
    return group_id
