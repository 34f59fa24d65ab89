"""Who was reported undelivered on a route that has another route for them: noted once for each person and alert."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import asyncpg

from broadcast.audit.codes import CODE_OF_RECEIPT, FINAL_RECEIPT_CODES
from broadcast.routing import Route
from schemas.receipt import ReceiptState

UNDELIVERED_CODES = FINAL_RECEIPT_CODES - {CODE_OF_RECEIPT[ReceiptState.DELIVERED]}
"""Receipts that say that the SMSC has given up. `unknown` is none: the phone may have got the message."""

Undelivered: TypeAlias = tuple[str, int, int]
"""Alert id, recipient id, and the number of the account that reported it."""

OtherRoutes: TypeAlias = Mapping[str, str]
"""The name of the other route, by the account that reports."""


def other_routes(routes: Iterable[Route]) -> dict[str, str]:
    """The other route of each account whose route has an `undelivered_route`."""
    return {
        account.name: route.undelivered_route
        for route in routes
        if route.undelivered_route is not None
        for account in route.accounts
    }


def number_routes(others: OtherRoutes, accounts: Mapping[str, int]) -> dict[int, str]:
    """The other route by the number of the account, for those accounts that have one."""
    return {accounts[name]: route for name, route in others.items() if name in accounts}


async def note_undelivered(
    connection: asyncpg.Connection, found: Iterable[Undelivered], by_account: Mapping[int, str]
) -> None:
    """Note people for the other route, inside the transaction that records their receipts; rows in ascending order.

    Who is noted and not sent yet is touched: so this waits for whoever is about to decide that nothing is to be sent.
    """
    routes = {
        (alert_id, recipient_id): by_account[account]
        for alert_id, recipient_id, account in sorted(found)
        if account in by_account
    }
    if not routes:
        return
    await connection.execute(
        """
        INSERT INTO undelivered AS known (alert_id, recipient_id, route)
        SELECT a::uuid, r, o FROM unnest($1::text[], $2::bigint[], $3::text[]) AS t(a, r, o)
        ON CONFLICT (alert_id, recipient_id) DO UPDATE SET noted_at = excluded.noted_at WHERE known.sent_at IS NULL
        """,
        [alert_id for alert_id, _ in routes],
        [recipient_id for _, recipient_id in routes],
        list(routes.values()),
    )
