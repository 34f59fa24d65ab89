"""`broadcast routes`: check a routes file before a stage reads it."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from broadcast.errors import SettingsError
from broadcast.routes_file import CheckedFile, check_file
from broadcast.routing import Account, Route
from broadcast.routing.remarks import find_remarks
from broadcast.settings import load_settings, read_environment


@click.group()
def command() -> None:
    """Check a routes file."""


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, nothing else.")
def check(file: Path, as_json: bool) -> None:
    """Print everything that is wrong in FILE, or its routes and accounts; exit code 1 if something is wrong.

    Connects to nothing. Passwords written `env:NAME`, certificates and keys are looked up as a sender would here.
    """
    try:
        checked = check_file(file, load_settings(), read_environment())
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}; name a readable file") from None
    if as_json:
        click.echo(json.dumps(_content(checked)))
    elif not checked.faults:
        for line in _summary(checked):
            click.echo(line)
    else:
        for fault in checked.faults:
            click.echo(fault.write(str(file)), err=True)
    if checked.faults:
        raise SystemExit(1)


def _content(checked: CheckedFile) -> dict[str, object]:
    return {
        "file": str(checked.path),
        "faults": [asdict(fault) for fault in checked.faults],
        "routes": [
            route.model_dump(mode="json", exclude={"accounts"})
            | {
                "accounts": [
                    account.model_dump(mode="json", exclude={"password"})
                    | {"remarks": list(find_remarks(route, account))}
                    for account in route.accounts
                ]
            }
            for route in checked.routes
        ],
    }


def _summary(checked: CheckedFile) -> Iterator[str]:
    accounts = sum(len(route.accounts) for route in checked.routes)
    yield f"{checked.path}: nothing wrong; routes: {len(checked.routes)}, accounts: {accounts}"
    for route in checked.routes:
        kind = "live" if route.live else "simulated"
        delays = ", ".join(map(str, route.delays_seconds))
        yield f"route {route.name} ({kind}) for {', '.join(route.prefixes)}: tried again after {delays} s"
        for account in route.accounts:
            yield f"  account {account.name}: {_describe(account)}"
            yield from (f"    {remark}" for remark in find_remarks(route, account))
        yield from _remarks_of(route)


def _describe(account: Account) -> str:
    rate = f"{account.rate_per_second:g} segments/s" if account.rate_per_second else "no limit of ours"
    sender = f"sender {account.source_addr}" if account.source_addr else "the SMSC's own sender"
    ton, npi = account.source_type
    share = "only if no other can" if account.fallback else f"weight {account.weight:g}"
    return (
        f"{account.system_id} at {account.host} port {account.port}, {'TLS' if account.tls else 'plain TCP'}, "
        f"{account.submitting_binds} x window {account.window}, {rate}, {share}, "
        f"{sender} (type {ton}, plan {npi})"
    )


def _remarks_of(route: Route) -> Iterator[str]:
    if route.undelivered_route is not None:
        yield f"  who is reported undelivered: once by route {route.undelivered_route}"
    if route.fallback_route is not None:
        yield f"  after {route.fallback_after_seconds:g} s without a working account: route {route.fallback_route}"
    elif route.live and len(route.accounts) == 1:
        yield "  one account only and no fallback_route: while it is down, nothing of this route is sent"
