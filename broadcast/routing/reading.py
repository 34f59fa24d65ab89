"""The routes file: TOML to routes, or everything that is wrong in it. Pure."""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Final

from pydantic import Field, SecretStr, ValidationError

from broadcast.errors import SettingsError
from broadcast.routing.faults import Fault, Places
from broadcast.routing.fields import check_password
from broadcast.routing.lines import Path, find_lines
from broadcast.routing.routes import Route
from broadcast.routing.smsc_account import Account, Table

ENVIRONMENT: Final = "env:"
"""What stands before the name of the variable that holds a password."""

_PLACE_IN_TOML: Final = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")

_PLAIN: Final = {"Cannot overwrite a value": "this field stands twice in its table"}
"""Messages of `tomllib` that do not say what to look for."""


class RoutesError(SettingsError):
    """The routes file cannot be used; the message names line, field, value and the next step of the first fault."""

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


class RoutesFile(Table):
    """The whole file."""

    routes: Annotated[tuple[Route, ...], Field(min_length=1)]


NO_PLACES: Final = Places({}, {}, RoutesFile)
"""Of a text that cannot be read as TOML: no line is known."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a routes file says: its routes, or none and what is wrong. `places` finds lines by path."""

    routes: tuple[Route, ...]
    faults: tuple[Fault, ...]
    places: Places

    def accounts(self) -> Iterator[tuple[Path, Account]]:
        """Every account with its path in the file."""
        for number, route in enumerate(self.routes):
            for position, account in enumerate(route.accounts):
                yield ("routes", number, "accounts", position), account

    def written_accounts(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Every account as it is written, with its path, also in a file with faults."""
        return _accounts(self.places.content)


def check_routes(text: str, environment: Mapping[str, str] | None = None, *, with_passwords: bool = True) -> Reading:
    """The routes of a routes file, or everything that is wrong in it; raises nothing.

    A password written `env:NAME` is taken from `environment`, so that the file itself holds no secret. Without
    `with_passwords` it is not looked up: the accounts are for names and addresses only.
    """
    try:
        content = tomllib.loads(text)
        lines = find_lines(text)
    except RecursionError:
        return _refuse_text(Fault(0, "", "", "", "is not TOML: its brackets are too deep", "correct it"))
    except ValueError as error:
        # A syntax error, or a number of more digits than Python reads.
        found = _PLACE_IN_TOML.search(str(error))
        line = int(found[1] or text.count("\n") + 1) if found else 0
        reason = str(error)[: found.start()] if found else str(error)
        reason = _PLAIN.get(reason, reason)
        return _refuse_text(Fault(line, "", "", "", f"is not TOML: {reason}", "correct the line"))
    places = Places(content, lines, RoutesFile)
    faults: list[Fault] = []
    routes: tuple[Route, ...] = ()
    try:
        routes = RoutesFile.model_validate(content).routes
    except ValidationError as error:
        faults += places.describe(error)
    faults += _find_doubles(content, places)
    faults += _find_shared_logins(content, places)
    faults += _find_wrong_others(content, places)
    faults += _find_mixed_accounts(content, places)
    passwords = dict(_find_passwords(content, environment or {}, places, faults, looked_up=with_passwords))
    if faults:
        return Reading((), tuple(sorted(faults, key=lambda fault: fault.line)), places)
    return Reading(tuple(_with_passwords(route, passwords) for route in routes), (), places)


def read_routes(
    text: str, environment: Mapping[str, str] | None = None, name: str = "routes file"
) -> tuple[Route, ...]:
    """The routes of a routes file; raises `RoutesError` with everything that is wrong. `name` is the file's."""
    reading = check_routes(text, environment)
    if reading.faults:
        raise make_error(reading.faults, name)
    return reading.routes


def make_error(faults: Sequence[Fault], name: str) -> RoutesError:
    """The first fault in one line, and how to see the others."""
    more = f" ({len(faults) - 1} more: `broadcast routes check {name}` shows all)" if len(faults) > 1 else ""
    return RoutesError(faults[0].write(name) + more, faults)


def _refuse_text(fault: Fault) -> Reading:
    return Reading((), (fault,), NO_PLACES)


def _tables(value: Any, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    found = value.get(key) if isinstance(value, dict) else None
    for number, table in enumerate(found if isinstance(found, list) else ()):
        if isinstance(table, dict):
            yield number, table


def _accounts(content: object) -> Iterator[tuple[Path, dict[str, Any]]]:
    for number, route in _tables(content, "routes"):
        for position, account in _tables(route, "accounts"):
            yield ("routes", number, "accounts", position), account


def _find_doubles(content: object, places: Places) -> Iterator[Fault]:
    """Names and prefixes that stand twice: names in the whole file, prefixes among live or among test routes."""
    used: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for number, route in _tables(content, "routes"):
        used["route name", str(route.get("name", number))].append(("routes", number, "name"))
        kind = "live" if route.get("live") is True else "test"
        prefixes = route.get("prefixes")
        for position, prefix in enumerate(prefixes if isinstance(prefixes, list) else ()):
            if isinstance(prefix, str):
                used[f"prefix of a {kind} route", prefix].append(("routes", number, "prefixes", position))
    for path, account in _accounts(content):
        if isinstance(account.get("name"), str):
            used["account name", account["name"]].append((*path, "name"))
    for (kind, _), paths in used.items():
        for path in paths[1:]:
            first = places.fault(paths[0], "", "")
            yield places.fault(path, f"the same {kind} stands on line {first.line}", "each may stand once: change one")


def _find_shared_logins(content: object, places: Places) -> Iterator[Fault]:
    """Accounts with the login of another, to which their receipts may come.

    An SMSC sends receipts to any session of a login. Each with another `address_range` is right: by that the SMSC tells
    their sessions apart.
    """
    used: dict[tuple[str, int, str], list[tuple[Path, dict[str, Any]]]] = defaultdict(list)
    for path, account in _accounts(content):
        host, port, system_id = (account.get(field) for field in ("host", "port", "system_id"))
        if not (isinstance(host, str) and isinstance(port, int) and isinstance(system_id, str)):
            continue
        before = used[host.lower().rstrip("."), port, system_id]
        for first, other in before:
            ranges = [one.get("address_range") or "" for one in (account, other)]
            if (all(ranges) and ranges[0] != ranges[1]) or account.get("name") == other.get("name"):
                # The same name twice is a fault of its own.
                continue
            line = places.fault((*first, "system_id"), "", "").line
            yield places.fault(
                (*path, "system_id"),
                f"the same login (host, port, system_id) stands on line {line}, so receipts of one account come to the "
                "other and name no message there",
                "keep one account, with `binds = N` for more sessions; or write each its own address_range",
            )
            break
        before.append((path, account))


def _find_wrong_others(content: object, places: Places) -> Iterator[Fault]:
    """Other routes that do not exist, carry other alerts, or have a fallback themselves: a job moves once."""
    tables = dict(_tables(content, "routes"))
    routes = {table["name"]: table for table in tables.values() if isinstance(table.get("name"), str)}
    for (number, table), field in product(tables.items(), ("fallback_route", "undelivered_route")):
        name = table.get(field)
        if not isinstance(name, str):
            continue
        other = routes.get(name)
        path = ("routes", number, field)
        if other is None or other is table:
            yield places.fault(path, "is no other route of this file", "name one")
        elif (other.get("live") is True) != (table.get("live") is True):
            yield places.fault(path, "is not live as this route is, or the other way round", "name another")
        elif _is_simulated(other) != _is_simulated(table):
            yield places.fault(path, "is not simulated as this route is, or the other way round", "name another")
        elif field == "fallback_route" and other.get(field) is not None:
            yield places.fault(path, "has a fallback_route itself", "name one that has none")


def _is_simulated(route: dict[str, Any]) -> bool:
    return any(account.get("simulated") is True for _, account in _tables(route, "accounts"))


def _find_mixed_accounts(content: object, places: Places) -> Iterator[Fault]:
    """Routes of which some accounts are simulated: who is reached would depend on which account takes a message."""
    for number, route in _tables(content, "routes"):
        kinds = [
            (("routes", number, "accounts", position, "simulated"), account.get("simulated") is True)
            for position, account in _tables(route, "accounts")
        ]
        for path, simulated in kinds[1:]:
            if simulated is not kinds[0][1]:
                first = route["accounts"][0].get("name")
                this, other = ("simulated", "not") if simulated else ("not simulated", "simulated")
                yield places.fault(
                    path,
                    f"is {this}, and account {first!r} of the same route is {other}",
                    "put simulated accounts into a route of their own",
                )


def _find_passwords(
    content: object, environment: Mapping[str, str], places: Places, faults: list[Fault], *, looked_up: bool
) -> Iterator[tuple[str, SecretStr]]:
    """The passwords by account; those that cannot be used become faults. Variables are read if `looked_up`."""
    for path, account in _accounts(content):
        written = account.get("password")
        if not isinstance(written, str):
            continue
        password, subject = written, ""
        if written.startswith(ENVIRONMENT):
            if not looked_up:
                continue
            variable = written.removeprefix(ENVIRONMENT)
            subject = f"names the variable {variable}, which "
            if variable not in environment:
                faults.append(places.fault((*path, "password"), f"{subject}is not set", "set it"))
                continue
            password = environment[variable]
        if wrong := check_password(password):
            rule, _, step = wrong.partition("; ")
            faults.append(places.fault((*path, "password"), subject + rule, step))
        yield str(account.get("name")), SecretStr(password)


def _with_passwords(route: Route, passwords: Mapping[str, SecretStr]) -> Route:
    accounts = tuple(
        account.model_copy(update={"password": passwords[account.name]}) if account.name in passwords else account
        for account in route.accounts
    )
    return route.model_copy(update={"accounts": accounts})
