"""Routes read again while a sender runs: what may change, what is refused, and which routes are in force."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from broadcast import metrics
from broadcast.alarms import ROUTES_REFUSED, Alarms
from broadcast.errors import SettingsError
from broadcast.routes_file import load_routes
from broadcast.routing import Account, Route
from broadcast.settings import Settings

log = structlog.get_logger(__name__)

REMEDY: Final = "restart planner, expander, recorder, senders and API with the new file"
HASH_DIGITS: Final = 12

Change = Callable[[Sequence[Account]], None]
"""Gives a route that is sent by this process its new accounts."""


def find_refusals(running: Sequence[Route], wanted: Sequence[Route]) -> list[str]:
    """What cannot change while a sender runs, in words; empty when only accounts change.

    Routes and all fields of theirs but `accounts` are what other stages and the topics rest on.
    """
    before, after = {route.name: route for route in running}, {route.name: route for route in wanted}
    found = [f"route {name} is new" for name in after if name not in before]
    found += [f"route {name} is gone" for name in before if name not in after]
    for name, route in after.items():
        if name in before:
            fields = [field for field in Route.model_fields if field != "accounts"]
            found += [
                f"{field} of route {name} is {_show(getattr(route, field))}, was {_show(getattr(before[name], field))}"
                for field in fields
                if getattr(route, field) != getattr(before[name], field)
            ]
    return found


def hash_routes(routes: Sequence[Route]) -> str:
    """A short hash of everything in the routes but the passwords."""
    text = "\n".join(route.model_dump_json() for route in routes)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]


class RoutesInForce:
    """The routes that this process works by. A file that cannot be taken whole changes nothing and is an alarm."""

    def __init__(self, settings: Settings, routes: Sequence[Route]) -> None:
        """`routes` are all of the file, also those that other processes send."""
        self._settings: Final = settings
        self._subject: Final = f"sender {settings.slot}"
        self._routes = tuple(routes)
        self._hash = ""
        self._changes: Final[dict[str, Change]] = {}
        self._alarms: Alarms | None = None
        for outcome in ("applied", "refused"):
            metrics.routes_reloads.labels(outcome)
        self._show()

    @property
    def routes(self) -> Sequence[Route]:
        """All routes of the file."""
        return self._routes

    def accounts_of(self, route: str) -> Sequence[Account]:
        """The accounts of a route, as they are in force now."""
        return next(found.accounts for found in self._routes if found.name == route)

    def follow(self, route: str, change: Change, alarms: Alarms) -> None:
        """Have `change` called with the accounts of a route whenever they change; `alarms` tell of a refused file."""
        self._changes[route] = change
        if self._alarms is None:
            self._alarms = alarms
            # One that this slot has raised in a run before: it has read the file now.
            alarms.end_soon(ROUTES_REFUSED, self._subject)

    def reload(self) -> None:
        """Read the file again and work by it from now on, or refuse it whole."""
        try:
            wanted = load_routes(self._settings, with_files=True)
        except SettingsError as error:
            self._refuse(str(error))
            return
        if refusals := find_refusals(self._routes, wanted):
            self._refuse(f"{'; '.join(refusals)}: cannot change while the sender runs; {REMEDY}")
            return
        before = {route.name: route.accounts for route in self._routes}
        self._routes = wanted
        for route in wanted:
            if route.accounts != before[route.name] and route.name in self._changes:
                self._changes[route.name](route.accounts)
        metrics.routes_reloads.labels("applied").inc()
        self._show()
        log.info("routes_reloaded", sha256=self._hash)
        if self._alarms is not None:
            self._alarms.end_soon(ROUTES_REFUSED, self._subject)

    def _refuse(self, reason: str) -> None:
        metrics.routes_reloads.labels("refused").inc()
        log.error("routes_refused", error=reason, sha256=self._hash)
        if self._alarms is not None:
            self._alarms.raise_soon(ROUTES_REFUSED, self._subject, f"the routes before stay in force: {reason}")

    def _show(self) -> None:
        if self._hash:
            metrics.routes_in_force.remove(self._hash)
        self._hash = hash_routes(self._routes)
        metrics.routes_in_force.labels(self._hash).set_to_current_time()


def _show(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
