"""`broadcast groups`: list and show groups, and put groups into groups."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TypeVar

import asyncpg
import click

from broadcast.audience.groups import list_groups, merge_groups, nest_group, show_group, unnest_group
from broadcast.cells.names import show_name
from broadcast.cli.terminal.display import Table, print_table
from broadcast.database.connection import open_connection
from broadcast.settings import load_settings
from broadcast.text.counts import counted

T = TypeVar("T")


def with_directory(work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    """Do `work` on a connection to the directory of this process's settings."""

    async def run() -> T:
        async with open_connection(load_settings()) as connection:
            return await work(connection)

    return asyncio.run(run())


@click.group(name="groups")
def command() -> None:
    """List and show groups."""


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array on stdout.")
def list_command(as_json: bool) -> None:
    """All groups: people directly in each, and the groups within it."""
    lines = with_directory(list_groups)
    if as_json:
        click.echo(json.dumps([asdict(line) for line in lines], ensure_ascii=False))
        return
    table = Table("group", "members", "groups within", box=None)
    for line in lines:
        table.add_row(line.name, f"{line.members:,}", ", ".join(line.children))
    print_table(table)
    for line in lines:
        if line.looks_like:
            others = " and ".join(map(show_name, line.looks_like))
            click.echo(f"{show_name(line.name)} looks like {others}: an alert to one of them does not reach the other")


@command.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def show(name: str, as_json: bool) -> None:
    """One group: its people, those of the groups within included, and their languages."""
    group = with_directory(lambda connection: show_group(connection, name))
    if as_json:
        click.echo(json.dumps(asdict(group), ensure_ascii=False))
        return
    languages = ", ".join(f"{tag or 'none'} {count:,}" for tag, count in group.languages.items())
    table = Table(show_header=False, box=None)
    for title, value in (
        ("group", group.name),
        ("members, direct", f"{group.members:,}"),
        ("people, groups within included", f"{group.people:,}"),
        ("of these suppressed", f"{group.suppressed:,}"),
        ("of these exercise participants", f"{group.participants:,}"),
        ("languages", languages),
        ("groups within", ", ".join(group.children)),
        ("is within", ", ".join(group.parents)),
        ("first recipient ids", ", ".join(map(str, group.recipient_ids))),
    ):
        table.add_row(title, value or "-")
    print_table(table)


@command.command()
@click.argument("parent")
@click.argument("child")
def nest(parent: str, child: str) -> None:
    """Put group CHILD into group PARENT, which is made if there is none."""
    with_directory(lambda connection: nest_group(connection, parent, child))
    click.echo(f"{child} is now within {parent}")


@command.command()
@click.argument("name")
@click.argument("into")
def merge(name: str, into: str) -> None:
    """Move everybody in group NAME to group INTO, and delete NAME."""
    moved = with_directory(lambda connection: merge_groups(connection, name, into))
    click.echo(f"{show_name(name)} is merged into {show_name(into)}: {counted(moved, 'new member')}")


@command.command()
@click.argument("parent")
@click.argument("child")
def unnest(parent: str, child: str) -> None:
    """Take group CHILD out of group PARENT; both stay."""
    with_directory(lambda connection: unnest_group(connection, parent, child))
    click.echo(f"{child} is no longer within {parent}")
