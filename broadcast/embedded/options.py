"""What the embedded stack is to start, and the routes file that it writes for its simulator."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from broadcast.embedded.directory import write_private
from broadcast.embedded.errors import EmbeddedError
from broadcast.embedded.ports import LOOPBACK
from broadcast.smsc.profile.tables import Account, Profile
from broadcast.stages import STAGES

ROUTES = """\
# Written by `broadcast up` for its simulator. Name another file in BROADCAST_ROUTES_FILE.
[[routes]]
name = "simulated"
prefixes = ["+"]
live = false
"""
ACCOUNT = """
[[routes.accounts]]
name = {name}
host = {host}
port = {port}
system_id = {system_id}
password = {password}
simulated = true
"""
PASSWORD = "simulate"  # noqa: S105 - of the simulator, which has no secrets
WINDOW = 1000


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """What to start and where. Ports are free ones, remembered in the data directory, unless given."""

    stages: tuple[str, ...] = STAGES
    simulator: bool | None = True
    """None: only if an account of the routes file leads to it."""
    simulator_arguments: tuple[str, ...] = ()
    profile: str | None = None
    """A profile of the simulator: a file, or the name of a built-in one."""
    routes_file: Path | None = None
    kafka_port: int | None = None
    postgres_port: int | None = None
    simulator_port: int | None = None
    api_port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """Settings of every stage, as `BROADCAST_...`."""


def write_routes(file: Path, simulator_port: int, profile: Profile | None = None) -> None:
    """Write the routes file for the simulator on this port, unless it says so already."""
    content = make_routes(simulator_port, profile or Profile())
    if not file.exists() or file.read_text() != content:
        write_private(file, content)


def make_routes(simulator_port: int, profile: Profile) -> str:
    """The routes file for a simulator with this profile: one route, and each account of the profile."""
    text = ROUTES
    for account in profile.accounts or (Account(name="simulator", system_id="tocsin"),):
        port = simulator_port if account.port is None else account.port
        if not port:
            raise EmbeddedError(
                f"account {account.name!r} of the profile has port = 0, a free one that nobody knows before: give it a "
                "port, or none for the simulator's"
            )
        fields: dict[str, object] = {"window": WINDOW, **profile.client, **account.client}
        text += ACCOUNT.format(
            name=_toml(account.name),
            host=_toml(LOOPBACK),
            port=port,
            system_id=_toml(account.login),
            password=_toml(account.password or PASSWORD),
        )
        text += "".join(f"{name} = {_toml(value)}\n" for name, value in fields.items())
    return text


def _toml(value: object) -> str:
    """A value as TOML writes it; tables inline."""
    match value:
        case dict():
            return "{ " + ", ".join(f"{_toml(str(name))} = {_toml(each)}" for name, each in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case _:
            # JSON's strings, numbers and booleans are TOML's.
            return json.dumps(value, ensure_ascii=False)
