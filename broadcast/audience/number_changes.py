"""Changes of people's numbers: those that an import makes, and what is kept of before for audiences resolved then.

A trigger on `recipients` keeps them, whatever statement changes a number. To store everybody's number in the chunks
instead took 2.2 to 2.8 µs more CPU for each recipient; this takes nothing where no number changes.
"""

from collections.abc import Mapping
from typing import Final

from broadcast.audience.rows import Finding, mask
from broadcast.cells.spellings import SPELLINGS
from broadcast.database import Connection

DELETED_AT_ONCE: Final = 20_000

MOVED: Final = "CREATE TEMPORARY TABLE moved (id bigint) ON COMMIT DROP"

RESPELL: Final = """
WITH pairs AS (
    SELECT * FROM unnest($1::text[], $2::text[]) AS pair (other, spelling)
    WHERE EXISTS (SELECT FROM recipients WHERE msisdn >= other AND msisdn < other || ':')
), settled AS (
    UPDATE recipients SET msisdn = found.msisdn, updated_at = now()
    FROM (
        SELECT DISTINCT incoming.msisdn, pairs.other || substr(incoming.msisdn, length(pairs.spelling) + 1) AS before
        FROM pairs JOIN incoming ON incoming.msisdn LIKE pairs.spelling || '%'
    ) AS found
    WHERE recipients.msisdn = found.before
        AND NOT EXISTS (SELECT FROM recipients AS holder WHERE holder.msisdn = found.msisdn)
    RETURNING recipients.id
)
INSERT INTO moved SELECT id FROM settled
"""
# No number begins with a colon, which follows 9 in the order of "C": so this is every number that begins with `other`.

MOVING: Final = """
CREATE TEMPORARY TABLE moving ON COMMIT DROP AS
SELECT wanted.id, wanted.external_id, wanted.msisdn, holder.id AS holder,
    row_number() OVER (PARTITION BY wanted.msisdn ORDER BY wanted.line) = 1 AS moves
FROM (
    SELECT recipients.id, recipients.external_id, incoming.msisdn, min(incoming.line) AS line
    FROM incoming JOIN recipients USING (external_id)
    WHERE recipients.msisdn <> incoming.msisdn GROUP BY 1, 2, 3
) AS wanted LEFT JOIN (SELECT id, msisdn FROM recipients) AS holder USING (msisdn)
"""
# Of several who want a number the first line counts.

NEXT: Final = """
SELECT moving.id, next.id FROM moving LEFT JOIN moving AS next ON next.id = moving.holder AND next.moves
WHERE moving.moves AND moving.holder IS NOT NULL
"""

STAY: Final = "UPDATE moving SET moves = false WHERE id = ANY ($1::bigint[])"

PARK: Final = """
UPDATE recipients SET msisdn = '-' || recipients.id
FROM moving JOIN moving AS next ON next.holder = moving.id AND next.moves
WHERE recipients.id = moving.id AND moving.moves
"""
# A number is unique at every moment, so those whose number another is to have give it up first.

SETTLE: Final = """
WITH settled AS (
    UPDATE recipients SET msisdn = moving.msisdn, updated_at = now()
    FROM moving WHERE recipients.id = moving.id AND moving.moves
    RETURNING recipients.id
)
INSERT INTO moved SELECT id FROM settled
"""

UNPARK: Final = """
DELETE FROM number_changes USING moving
WHERE number_changes.recipient_id = moving.id AND number_changes.msisdn = '-' || moving.id
"""

TRIAL_GROUP: Final = "test-send-"
"""What the name of a group begins with that holds the one recipient of a test message; their id follows."""

LEAVE_TRIAL: Final = """
DELETE FROM group_members USING moved JOIN groups ON groups.name = $1 || moved.id
WHERE group_members.group_id = groups.id AND group_members.recipient_id = moved.id
"""
# A test message is for the number that was named. If its audience is resolved after this, it is empty.

STUCK: Final = """
WITH stuck AS (
    DELETE FROM incoming USING moving WHERE incoming.external_id = moving.external_id AND NOT moving.moves
    RETURNING incoming.line, incoming.msisdn
)
SELECT stuck.line, stuck.msisdn, recipients.id FROM stuck JOIN recipients USING (msisdn)
"""

_DELETE: Final = """
DELETE FROM number_changes USING (
    SELECT recipient_id, id FROM number_changes
    WHERE changed_at < now() - interval '1 hour' AND changed_by < coalesce(
        (
            SELECT pg_snapshot_xmin(audiences.snapshot) FROM alerts JOIN audiences USING (alert_id)
            WHERE alerts.completed_at IS NULL AND alerts.state <> 'refused'
                AND alerts.expires_at > now() - interval '1 hour' AND audiences.snapshot IS NOT NULL
            ORDER BY 1 LIMIT 1
        ),
        pg_snapshot_xmin(pg_current_snapshot())
    )
    ORDER BY changed_at LIMIT $1
) AS old WHERE number_changes.recipient_id = old.recipient_id AND number_changes.id = old.id
"""
# An hour is more than a resolution may take (`RESOLVE_SECONDS`): its snapshot is stored only when it ends. Until an
# alert is completed its chunks may be read again; an hour after its expiry nothing is sent, whatever a job says.


def find_staying(following: Mapping[int, int | None]) -> set[int]:
    """Who of these people cannot move to the number that they want.

    Each has the holder of that number, None if that one does not move. A holder who is not in the mapping moves to a
    free number. Whoever waits for somebody who stays, stays; people who exchange their numbers, two or in a ring, all
    move. Takes time in proportion to the people.
    """
    staying: set[int] = set()
    seen: set[int] = set()
    for first in following:
        path: list[int] = []
        person: int | None = first
        while person is not None and person in following and person not in seen:
            seen.add(person)
            path.append(person)
            person = following[person]
        if person is None or person in staying:
            staying.update(path)
    return staying


async def move_numbers(connection: Connection) -> tuple[int, list[Finding]]:
    """Give known people the numbers of the table `incoming`; returns how many moved, and a finding for each refused.

    First those get their number in its new spelling who are stored under another one. Everybody moves at once: a number
    may pass from one to the next, and people may exchange theirs. Who moves leaves the group of their test messages,
    which are for the number of before. The ids of who moved stay in the table `moved`.
    """
    await connection.execute(MOVED)
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM recipients)"):
        return 0, []
    await connection.execute(
        RESPELL, [f"+{pair.other}" for pair in SPELLINGS], [f"+{pair.spelling}" for pair in SPELLINGS]
    )
    await connection.execute(MOVING)
    staying = find_staying({row[0]: row[1] for row in await connection.fetch(NEXT)})
    if staying:
        await connection.execute(STAY, list(staying))
    await connection.execute(PARK)
    await connection.execute(SETTLE)
    await connection.execute(UNPARK)
    await connection.execute(LEAVE_TRIAL, TRIAL_GROUP)
    reason = "is the number of recipient {} already: the person keeps the number known before"
    findings = [
        Finding(line, "msisdn", mask(msisdn), False, reason.format(holder))
        for line, msisdn, holder in await connection.fetch(STUCK)
    ]
    moved: int = await connection.fetchval("SELECT count(*) FROM moved")
    return moved, findings


async def delete_unneeded_changes(connection: Connection) -> None:
    """Delete changes that are older than an hour and that no alert on its way needs, at most `DELETED_AT_ONCE`."""
    await connection.execute(_DELETE, DELETED_AT_ONCE)


async def erase_changes(connection: Connection, recipient_id: int, msisdn: str) -> None:
    """Delete the numbers that a person had, and their number wherever somebody else had it before.

    Nothing is then sent to this number in the name of the one who had it before.
    """
    await connection.execute("DELETE FROM number_changes WHERE recipient_id = $1", recipient_id)
    await connection.execute("UPDATE number_changes SET msisdn = NULL WHERE msisdn = $1", msisdn)
