"""The routes file: TOML to routes. Every error names the field, its value and what to write instead."""

import tomllib
from collections import Counter
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from broadcast.errors import SettingsError
from broadcast.routing.routes import Route
from broadcast.routing.smsc_account import Account

ENVIRONMENT = "env:"


class RoutesError(SettingsError):
    """The routes file cannot be used; the message names the field, its value and the next step."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    routes: Annotated[tuple[Route, ...], Field(min_length=1)]


def read_routes(text: str, environment: Mapping[str, str] | None = None) -> tuple[Route, ...]:
    """The routes of a routes file; raises `RoutesError`.

    A password written `env:NAME` is taken from `environment`, so that the file itself holds no secret.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RoutesError(f"routes file: is not TOML: {error}") from None
    try:
        routes = _File.model_validate(content).routes
    except ValidationError as error:
        raise RoutesError("routes file: " + "; ".join(_describe(error))) from None
    _check_unique(routes)
    return tuple(_with_passwords(route, environment or {}) for route in routes)


def _describe(error: ValidationError) -> list[str]:
    lines = []
    for fault in error.errors(include_url=False):
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
        if fault["type"] == "missing":
            lines.append(f"{path}: is missing; add it")
        elif fault["type"] == "extra_forbidden":
            lines.append(f"{path}: no such field; check its spelling")
        else:
            shown = isinstance(fault["input"], str | int | float) and "password" not in path
            value = f" = {fault['input']!r}" if shown else ""
            lines.append(f"{path}{value}: {fault['msg'].removeprefix('Value error, ')}")
    return lines


def _check_unique(routes: tuple[Route, ...]) -> None:
    accounts = [account.name for route in routes for account in route.accounts]
    for kind, names in (("route", [route.name for route in routes]), ("account", accounts)):
        for name, count in Counter(names).items():
            if count > 1:
                raise RoutesError(f"routes file: {kind} name {name!r} is used {count} times; give each {kind} its own")


def _with_passwords(route: Route, environment: Mapping[str, str]) -> Route:
    accounts = tuple(_with_password(account, environment) for account in route.accounts)
    return route.model_copy(update={"accounts": accounts})


def _with_password(account: Account, environment: Mapping[str, str]) -> Account:
    written = account.password.get_secret_value() if account.password else ""
    if not written.startswith(ENVIRONMENT):
        return account
    name = written.removeprefix(ENVIRONMENT)
    if name not in environment:
        raise RoutesError(f"account {account.name!r}: password names the variable {name}, which is not set; set it")
    return account.model_copy(update={"password": SecretStr(environment[name])})
