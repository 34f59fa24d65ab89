"""Routes read again while a sender runs: what may change, what is refused, and which routes are in force."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import structlog

from broadcast import metrics
from broadcast.alarms import ROUTES_REFUSED, Alarms
from broadcast.clock import utc_now
from broadcast.errors import SettingsError
from broadcast.health import Health
from broadcast.routes_file import load_file
from broadcast.routing import Account, Places, Route
from broadcast.settings import Settings

log = structlog.get_logger(__name__)

NAME: Final = "routes"
"""Under which `/readyz` says which routes are in force, and why a file was refused."""

REMEDY: Final = "restart planner, expander, recorder, senders and API with the new file"
HASH_DIGITS: Final = 12

Change = Callable[[Sequence[Account]], None]
"""Gives a route that is sent by this process its new accounts."""


class Refusal(NamedTuple):
    """What cannot change while a sender runs, and why; `path` is empty where the new file lacks it."""

    path: tuple[str | int, ...]
    rule: str


def find_refusals(running: Sequence[Route], wanted: Sequence[Route]) -> list[Refusal]:
    """What cannot change while a sender runs; empty when only accounts change.

    Routes and all fields of theirs but `accounts` are what other stages and the topics rest on.
    """
    before = {route.name: route for route in running}
    fields = [field for field in Route.model_fields if field != "accounts"]
    found = []
    for number, route in enumerate(wanted):
        path = ("routes", number)
        known = before.pop(route.name, None)
        if known is None:
            found.append(Refusal((*path, "name"), "a route cannot be added while the sender runs"))
            continue
        found += [
            Refusal((*path, field), f"cannot change while the sender runs, is {_show(getattr(known, field))} there")
            for field in fields
            if getattr(route, field) != getattr(known, field)
        ]
        if route.simulated is not known.simulated:
            # Alerts that were planned say whether phones are reached.
            kind = "simulated" if known.simulated else "not simulated"
            found.append(
                Refusal((*path, "accounts", 0, "simulated"), f"cannot change while the sender runs, is {kind} there")
            )
    return [*found, *(Refusal((), f"route {name!r} cannot be removed while the sender runs") for name in before)]


def describe_refusals(refusals: Sequence[Refusal], places: Places, file: str) -> str:
    """The first refusal in one line with its line in the file, and which other fields are refused."""
    faults = [places.fault(path, rule, REMEDY) for path, rule in refusals]
    others = ", ".join(fault.field or fault.rule for fault in faults[1:])
    return faults[0].write(file) + (f" (also: {others})" if others else "")


def hash_routes(routes: Sequence[Route]) -> str:
    """A short hash of everything in the routes but the passwords."""
    text = "\n".join(route.model_dump_json() for route in routes)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]


class RoutesInForce:
    """The routes that this process works by. A file that cannot be taken whole changes nothing and is an alarm."""

    def __init__(self, settings: Settings, routes: Sequence[Route], health: Health) -> None:
        """`routes` are all of the file, also those that other processes send."""
        self._settings: Final = settings
        self._health: Final = health
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
            self._end_absent(alarms)

    def reload(self) -> None:
        """Read the file again and work by it from now on, or refuse it whole."""
        try:
            file = load_file(self._settings, with_secrets=True)
        except SettingsError as error:
            self._refuse(str(error))
            return
        wanted = file.routes
        if refusals := find_refusals(self._routes, wanted):
            self._refuse(describe_refusals(refusals, file.places, str(file.path)))
            return
        before = {route.name: route.accounts for route in self._routes}
        self._routes = wanted
        for route in wanted:
            if route.accounts != before[route.name] and route.name in self._changes:
                self._changes[route.name](route.accounts)
        metrics.routes_reloads.labels("applied").inc()
        self._show()
        log.info("routes_reloaded", sha256=self._hash)
        self._health.release(NAME)
        if self._alarms is not None:
            self._alarms.end_soon(ROUTES_REFUSED, self._subject)
            self._end_absent(self._alarms)

    def _end_absent(self, alarms: Alarms) -> None:
        names = [account.name for route in self._routes for account in route.accounts]
        alarms.end_absent_soon(self._settings.slot, names)

    def _refuse(self, reason: str) -> None:
        metrics.routes_reloads.labels("refused").inc()
        log.error("routes_refused", error=reason, sha256=self._hash)
        detail = f"file refused at {utc_now():%H:%M:%S} UTC, the routes before stay in force: {reason}"
        self._health.degrade(NAME, detail)
        if self._alarms is not None:
            self._alarms.raise_soon(ROUTES_REFUSED, self._subject, detail, replace=True)

    def _show(self) -> None:
        if self._hash:
            metrics.routes_in_force.remove(self._hash)
        self._hash = hash_routes(self._routes)
        metrics.routes_in_force.labels(self._hash).set_to_current_time()
        accounts = ", ".join(account.name for route in self._routes for account in route.accounts)
        self._health.facts[NAME] = f"read at {utc_now():%H:%M:%S} UTC, hash {self._hash}, accounts: {accounts}"


def _show(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
