"""`broadcast demo`: the main job from nothing, with proof."""

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from broadcast.cli.terminal.display import Display, table_of
from broadcast.cli.terminal.interruption import InterruptedRunError, run_interruptible
from broadcast.clock import monotonic
from broadcast.embedded.demonstration import Demonstration, Reconciliation
from broadcast.embedded.keyed_stack import start_with_key
from broadcast.embedded.options import StackOptions
from broadcast.embedded.stack import Stack
from broadcast.embedded.steps import Progress

INTERRUPTED_EXIT_CODE = 130


@click.command(name="demo")
@click.option("--recipients", type=click.IntRange(1, 5_000_000), default=10_000, show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep the data here; if absent, nowhere.")
@click.option("--api-port", type=click.IntRange(1, 65535), help="Port of the API; a free one if absent.")
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")
def command(*, recipients: int, data_dir: Path | None, api_port: int | None, keep: bool, as_json: bool) -> None:
    """Publish a flood alert to simulated phones through a real Kafka, PostgreSQL and SMPP, and account for each.

    Exits with 0 only if the audience equals the sum of final states and the simulator saw every number exactly once.
    """
    display = Display(quiet=as_json)
    with _directory(data_dir) as directory, display:
        try:
            problems = run_interruptible(
                _run(
                    directory=directory,
                    recipients=recipients,
                    api_port=api_port,
                    keep=keep,
                    as_json=as_json,
                    display=display,
                )
            )
        except InterruptedRunError:
            sys.exit(INTERRUPTED_EXIT_CODE)
    sys.exit(1 if problems else 0)


async def _run(
    *, directory: Path, recipients: int, api_port: int | None, keep: bool, as_json: bool, display: Display
) -> list[str]:
    began_at = monotonic()
    steps: list[tuple[str, float]] = []

    def report(news: Progress) -> None:
        if news.phase == "ended":
            steps.append((news.step, news.seconds))
        display.report(news)

    async with Stack(directory, StackOptions(api_port=api_port), report=report) as stack:
        key = await start_with_key(stack)
        demonstration = Demonstration(stack, recipients, key, report=report, watch=display.watch)
        result = await demonstration.run()
        stopping_at = monotonic()
        problems = result.problems()
        if keep:
            stack.keep_servers()
            display.close()
            if as_json:
                click.echo(json.dumps(_describe(result, demonstration, steps, monotonic() - began_at)))
            else:
                _show(result, steps, display)
            click.echo(f"API {stack.api_url}   key {key}\nalert {demonstration.alert_id}", err=True)
            click.echo(
                f"BROADCAST_DATA_DIR={stack.data_dir} broadcast audit summary {demonstration.alert_id}", err=True
            )
            await _wait_for_interrupt()
    steps.append(("stop", monotonic() - stopping_at))
    total = monotonic() - began_at
    display.close()
    if as_json:
        click.echo(json.dumps(_describe(result, demonstration, steps, total)))
    else:
        _show(result, [*steps, ("in all", total)], display)
    return problems


async def _wait_for_interrupt() -> None:
    await asyncio.Event().wait()


def _describe(
    result: Reconciliation, demonstration: Demonstration, steps: list[tuple[str, float]], total: float
) -> dict[str, Any]:
    return {
        "alert_id": demonstration.alert_id,
        "recipients": demonstration.recipients,
        "audience": result.audience,
        "states": dict(result.states),
        "gap": result.gap,
        "simulator": {
            "missing": result.missing,
            "unexpected": result.unexpected,
            "repeated": result.repeated,
        },
        "steps": [{"step": name, "seconds": round(seconds, 3)} for name, seconds in steps],
        "seconds": round(total, 3),
        "ok": not result.problems(),
        "problems": result.problems(),
    }


def _show(result: Reconciliation, steps: list[tuple[str, float]], display: Display) -> None:
    rows = [("audience", f"{result.audience:,}")]
    rows += [(f"  {state}", f"{count:,}") for state, count in result.states.items() if count]
    rows += [
        ("sum of states", f"{sum(result.states.values()):,}"),
        ("gap", f"{result.gap:,}"),
        ("never seen by the simulator", f"{result.missing:,}"),
        ("seen more than once", f"{result.repeated:,}"),
        ("seen but not in the audience", f"{result.unexpected:,}"),
    ]
    display.console.print(table_of("Reconciliation", rows))
    display.console.print(table_of("Time", [(name, f"{seconds:.2f} s") for name, seconds in steps]))
    for problem in result.problems():
        display.console.print(f"[red]✗[/red] {problem}")
    if not result.problems():
        display.console.print("[green]✓[/green] every recipient is accounted for, and was reached exactly once")


@contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    made = Path(tempfile.mkdtemp(prefix="tocsin-demo-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
