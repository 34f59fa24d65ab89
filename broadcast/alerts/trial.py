"""A test message to one number: an alert of CAP status Test to a group that holds one recipient.

It takes the path of every alert, so that it tests that path. Each recipient has a group of their own, because an
audience is resolved later: one shared group would send the second test to the first number as well. An import that
gives the recipient another number empties that group, so that no other phone gets the text. Only simulated
routes carry Test; `require_route` says so before anything is published. Whether a phone is reached depends on the
accounts of that route: with a simulator's none is, with a carrier's the phone gets the text.
"""

from datetime import datetime, timedelta
from uuid import UUID

from broadcast.audience.exclusions import hold_exclusions, read_exclusions
from broadcast.audience.number_changes import TRIAL_GROUP
from broadcast.database import Connection
from broadcast.errors import InputError
from broadcast.routing import Route, RouteTable
from schemas.alert import (
    Alert,
    Area,
    Category,
    Certainty,
    Info,
    MsgType,
    Scope,
    Severity,
    Status,
    Urgency,
    ValuePair,
)

SENDER = "tocsin-test-send"
EXPIRY = timedelta(minutes=10)
"""A test message that comes later would only confuse."""

ACCOUNT_PARAMETER = "tocsin-account"
"""The CAP parameter of a test message that names the one account that may take it."""

TEXT = "Test message. No action is needed."
TEXT_LENGTH_MAX = 1_000


def require_route(routes: tuple[Route, ...], msisdn: str) -> Route:
    """The test route that would carry a test to this number; InputError when there is none."""
    route = RouteTable(routes).route_of(msisdn, Status.TEST)
    if route is None:
        message = (
            "no test route takes this number, and a live one never carries CAP status Test; add a test route"
            " to the routes file"
        )
        raise InputError(f"number: {message}", (("number", "M3", message),))
    return route


async def ensure_recipient(connection: Connection, msisdn: str, *, number_key: bytes | None) -> tuple[int, str]:
    """The recipient with this number (E.164), made if there is none, and the group that holds only them.

    A recipient that the directory knows already stays as it is, suppression included. Raises InputError for the number
    of who asked to be erased or left alone.
    """
    async with connection.transaction():
        await hold_exclusions(connection)  # whoever is erased at this moment must not come back
        wish = (await read_exclusions(connection, number_key)).of(msisdn)
        if wish is not None:
            message = "belongs to who asked to be erased or left alone; `broadcast recipients readmit` undoes that"
            raise InputError(f"number: {message}", (("number", "M3", message),))
        await connection.execute("INSERT INTO recipients (msisdn) VALUES ($1) ON CONFLICT (msisdn) DO NOTHING", msisdn)
        recipient_id: int = await connection.fetchval("SELECT id FROM recipients WHERE msisdn = $1", msisdn)
        group = f"{TRIAL_GROUP}{recipient_id}"
        await connection.execute("INSERT INTO groups (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", group)
        await connection.execute(
            "INSERT INTO group_members (group_id, recipient_id) SELECT id, $2 FROM groups WHERE name = $1"
            " ON CONFLICT DO NOTHING",
            group,
            recipient_id,
        )
    return recipient_id, group


def require_account(route: Route, name: str) -> None:
    """InputError unless the route has an account of this name that sends."""
    names = [account.name for account in route.accounts if account.weight]
    if name not in names:
        message = f"{name!r} is no account of route {route.name} that sends; choose one of: {', '.join(names)}"
        raise InputError(f"account: {message}", (("account", "M3", message),))


def aim_of(alert: Alert) -> tuple[bool, str]:
    """Whether an alert is a test message, and the one account that may take it; empty for any."""
    if alert.sender != SENDER or alert.status is not Status.TEST:
        return False, ""
    accounts = (each.value for info in alert.info for each in info.parameter if each.value_name == ACCOUNT_PARAMETER)
    return True, next(accounts, "")


def make_test_alert(group: str, text: str, *, identifier: UUID, now: datetime, account: str = "") -> Alert:
    """The alert that carries a test message; its text begins with TEST when it is rendered."""
    sent = now.replace(microsecond=0)
    info = Info(
        category=(Category.OTHER,),
        event="Test message",
        urgency=Urgency.EXPECTED,
        severity=Severity.MINOR,
        certainty=Certainty.OBSERVED,
        expires=sent + EXPIRY,
        headline=text,
        parameter=(ValuePair(value_name=ACCOUNT_PARAMETER, value=account),) if account else (),
        area=(Area(area_desc="one phone"),),
    )
    return Alert(
        identifier=f"test-send-{identifier}",
        sender=SENDER,
        sent=sent,
        status=Status.TEST,
        msg_type=MsgType.ALERT,
        scope=Scope.PRIVATE,
        groups=(group,),
        info=(info,),
    )
