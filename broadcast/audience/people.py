"""One person of the directory: looking at them, suppressing and erasing them."""

from dataclasses import dataclass
from datetime import datetime

from broadcast.database import Connection
from broadcast.errors import InputError

PERSON = """
SELECT id, external_id, msisdn, language, latitude, longitude, participant, suppressed, created_at, updated_at,
       ARRAY(
           SELECT groups.name FROM group_members JOIN groups ON groups.id = group_members.group_id
           WHERE group_members.recipient_id = recipients.id ORDER BY groups.name
       ) AS groups
FROM recipients WHERE {column} = $1
"""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One person: number in E.164, the groups they are in directly, `suppressed` the reason or None."""

    id: int
    external_id: str | None
    msisdn: str
    language: str | None
    latitude: float | None
    longitude: float | None
    participant: bool
    suppressed: str | None
    created_at: datetime
    updated_at: datetime
    groups: tuple[str, ...]


async def show_recipient(
    connection: Connection, recipient_id: int | None = None, *, external_id: str | None = None
) -> Recipient:
    """The person with this id, or with this external id; raises InputError when there is none."""
    if external_id is not None:
        row = await connection.fetchrow(PERSON.format(column="external_id"), external_id)
    else:
        row = await connection.fetchrow(PERSON.format(column="id"), recipient_id)
    if row is None:
        raise _unknown(recipient_id if external_id is None else external_id)
    return Recipient(**{**row, "groups": tuple(row["groups"])})


async def suppress_recipient(connection: Connection, recipient_id: int, reason: str | None) -> None:
    """Send nothing to this person from the next alert on, for a reason; None lifts it.

    An audience that is stored already keeps them: it is what was decided when it was resolved.
    """
    if reason is not None and not reason.strip():
        raise InputError("reason is empty: say why nothing is sent to this person")
    tag = await connection.execute(
        "UPDATE recipients SET suppressed = $2, updated_at = now() WHERE id = $1", recipient_id, reason
    )
    if tag == "UPDATE 0":
        raise _unknown(recipient_id)


async def erase_recipient(connection: Connection, recipient_id: int) -> None:
    """Delete a person and their memberships for good; raises InputError when there is none.

    The audit keeps their id and the keyed hash of their number, so its chain stays whole. Waits for an import.
    """
    async with connection.transaction():
        tag = await connection.execute("DELETE FROM recipients WHERE id = $1", recipient_id)
        if tag == "DELETE 0":
            raise _unknown(recipient_id)
        await connection.execute("DELETE FROM group_members WHERE recipient_id = $1", recipient_id)


def _unknown(name: int | str | None) -> InputError:
    return InputError(f"recipient {name!r} is not in the directory: `broadcast groups show` lists ids by group")
