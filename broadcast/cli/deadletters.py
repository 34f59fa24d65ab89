"""`broadcast deadletters`: records that could not be read."""

import asyncio
import base64
import json
from contextlib import aclosing
from datetime import UTC, datetime

import click

from broadcast.cli.terminal.ids import ID
from broadcast.cli.terminal.output import print_result, require_output
from broadcast.clock import instant_of
from broadcast.deadletters.deciding import dismiss_deadletter, replay_deadletter
from broadcast.deadletters.letters import Found
from broadcast.deadletters.reading import find_deadletter, stream_deadletters
from broadcast.logs import mask_numbers
from broadcast.settings import Settings, load_settings
from broadcast.text.counts import counted
from broadcast.text.printable import printable, printable_lines

as_json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, nothing else.")


@click.group()
def command() -> None:
    """Records that could not be read: list, show, replay, dismiss."""


@command.command("list")
@click.option("--since", type=ID, default=0, show_default=True, help="Offset of the first.")
@click.option("--limit", type=click.IntRange(min=1), help="Most of them; if not set, all.")
@as_json_option
def show_all(since: int, limit: int | None, as_json: bool) -> None:
    """Dead letters that are kept, oldest first."""
    asyncio.run(_show_all(load_settings(), since, limit, as_json=as_json))


async def _show_all(settings: Settings, since: int, limit: int | None, *, as_json: bool) -> None:
    count = 0
    async with aclosing(stream_deadletters(settings, since=since)) as letters:
        async for found in letters:
            if count == limit:
                break
            _show_line(found, first=not count, as_json=as_json)
            count += 1
    if as_json:
        click.echo("]" if count else "[]")
    else:
        click.echo(counted(count, "dead letter"))


def _show_line(found: Found, *, first: bool, as_json: bool) -> None:
    if as_json:
        click.echo(("[" if first else ", ") + json.dumps(_content(found)), nl=False)
        return
    mark = "replayed" if found.replayed else "dismissed" if found.dismissed else ""
    where = f"{found.letter.topic} {found.letter.partition}/{found.letter.offset}"
    click.echo(f"{found.offset:>8}  {_instant(found)}  {found.letter.stage:<9} {mark:<9} {where}")
    click.echo(f"{'':>10}{printable(mask_numbers(found.letter.error))}")


@command.command("show")
@click.argument("offset", type=ID)
@as_json_option
def show_one(offset: int, as_json: bool) -> None:
    """One dead letter, whole, with the record as it was."""
    found = asyncio.run(find_deadletter(load_settings(), offset))
    if as_json:
        click.echo(json.dumps(_content(found) | _raw(found)))
        return
    for name, value in _content(found).items():
        click.echo(printable(f"{name}: {value}"))
    click.echo(printable_lines(found.letter.preview(length=len(found.letter.value or b""))))


@command.command("replay")
@click.argument("offset", type=ID)
@as_json_option
def replay(offset: int, as_json: bool) -> None:
    """Put the record back on its topic, once; it gets a new offset there."""
    require_output()
    letter = asyncio.run(replay_deadletter(load_settings(), offset))
    done = f"dead letter {offset} is on {letter.topic} again"
    answer = {"offset": offset, "topic": letter.topic, "replayed": True}
    print_result(json.dumps(answer) if as_json else f"{done}; should it fail again, it comes back here", done)


@command.command("dismiss")
@click.argument("offset", type=ID)
@as_json_option
def dismiss(offset: int, as_json: bool) -> None:
    """Lay it aside: it stays in the list, and no alarm speaks of it any more."""
    letter = asyncio.run(dismiss_deadletter(load_settings(), offset))
    if as_json:
        click.echo(json.dumps({"offset": offset, "topic": letter.topic, "dismissed": True}))
    else:
        click.echo(f"dead letter {offset} of {letter.topic} is dismissed; it stays in the list")


def _content(found: Found) -> dict[str, object]:
    letter = found.letter
    return {
        "offset": found.offset,
        "at": _instant(found),
        "stage": letter.stage,
        "topic": letter.topic,
        "partition": letter.partition,
        "source_offset": letter.offset,
        "error": letter.error,
        "replayed": found.replayed,
        "dismissed": found.dismissed,
        "truncated": letter.truncated,
    }


def _raw(found: Found) -> dict[str, object]:
    letter = found.letter
    return {
        "key": None if letter.key is None else base64.b64encode(letter.key).decode(),
        "value": None if letter.value is None else base64.b64encode(letter.value).decode(),
        "text": letter.preview(length=len(letter.value or b"")),
    }


def _instant(found: Found) -> str:
    return datetime.fromtimestamp(instant_of(found.letter.at) / 1000, UTC).isoformat(timespec="seconds")
