"""One person of the directory: looking at them, suppressing and erasing them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from broadcast.audience.exclusions import (
    Wish,
    add_exclusion,
    hold_wishing,
    read_exclusions,
    remove_exclusions,
)
from broadcast.audience.number_changes import erase_changes
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


LAST_ALERTS = """
SELECT recent.alert_id, recent.identifier, recent.state, recent.accepted_at
FROM (SELECT alert_id, identifier, state, accepted_at FROM alerts ORDER BY accepted_at DESC LIMIT $2) AS recent
WHERE EXISTS (
    SELECT FROM chunks WHERE chunks.alert_id = recent.alert_id AND $1 BETWEEN first_id AND last_id
        AND $1 = ANY (recipients)
)
ORDER BY recent.accepted_at DESC LIMIT $3
"""
SEARCHED_ALERTS, SHOWN_ALERTS = 100, 5


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


@dataclass(frozen=True, slots=True)
class LastAlert:
    """An alert whose audience a person was in; `state` is the alert's, not the delivery's."""

    alert_id: UUID
    identifier: str
    state: str
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """A person found by number, and the last alerts of them, newest first."""

    recipient: Recipient
    alerts: tuple[LastAlert, ...]


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


async def find_recipients(connection: Connection, msisdns: Sequence[str]) -> list[Found]:
    """The people who have one of these numbers (E.164), with the last alerts that they were in the audience of."""
    found = []
    for msisdn in msisdns:
        row = await connection.fetchrow(PERSON.format(column="msisdn"), msisdn)
        if row is not None:
            alerts = await connection.fetch(LAST_ALERTS, row["id"], SEARCHED_ALERTS, SHOWN_ALERTS)
            person = Recipient(**{**row, "groups": tuple(row["groups"])})
            found.append(Found(person, tuple(LastAlert(*alert) for alert in alerts)))
    return found


async def suppress_recipient(
    connection: Connection, recipient_id: int, reason: str | None, *, number_key: bytes | None = None
) -> None:
    """Send nothing to this person from the next alert on, for a reason; None lifts it.

    An audience that is stored already keeps them: it is what was decided when it was resolved. With the key of the
    hashes the wish stays with the number, whatever an import does with the person. Waits for a running import, as
    `erase_recipient` does.
    """
    if reason is not None and not reason.strip():
        raise InputError("reason is empty: say why nothing is sent to this person")
    async with connection.transaction():
        await hold_wishing(connection)
        msisdn = await _number_of(connection, recipient_id)
        # The wish first, as an import does: two that lock in another order would wait for each other.
        if reason is None:
            await read_exclusions(connection, number_key)  # it says so if the wish would come back
        if number_key is not None and reason is not None:
            await add_exclusion(connection, number_key, msisdn, Wish.DO_NOT_CONTACT, reason)
        elif number_key is not None:
            await remove_exclusions(connection, number_key, [msisdn])
        await connection.execute(
            "UPDATE recipients SET suppressed = $2, updated_at = now() WHERE id = $1", recipient_id, reason
        )


async def erase_recipient(connection: Connection, recipient_id: int, *, number_key: bytes) -> None:
    """Delete a person and their memberships for good; raises InputError when there is none.

    What stays is the keyed hash of their number, so that no import loads them again; the audit keeps their id and that
    hash, so its chain stays whole. Waits for a running import, at most for the session's lock_timeout (10 s); after
    that the error of PostgreSQL passes, nothing is changed, and it is to be done again when the import has ended.
    """
    async with connection.transaction():
        await hold_wishing(connection)
        msisdn = await _number_of(connection, recipient_id)
        await add_exclusion(connection, number_key, msisdn, Wish.ERASED)
        await connection.execute("DELETE FROM recipients WHERE id = $1", recipient_id)
        await erase_changes(connection, recipient_id, msisdn)
        await connection.execute("DELETE FROM group_members WHERE recipient_id = $1", recipient_id)


async def _number_of(connection: Connection, recipient_id: int) -> str:
    msisdn: str | None = await connection.fetchval("SELECT msisdn FROM recipients WHERE id = $1", recipient_id)
    if msisdn is None:
        raise _unknown(recipient_id)
    return msisdn


def _unknown(name: int | str | None) -> InputError:
    return InputError(f"recipient {name!r} is not in the directory: `broadcast groups show` lists ids by group")
