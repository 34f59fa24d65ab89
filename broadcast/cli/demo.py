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

from broadcast.cli.terminal.display import Display, shown, table_of
from broadcast.cli.terminal.interruption import InterruptedRunError, run_interruptible
from broadcast.clock import monotonic
from broadcast.embedded.demonstration import Demonstration, Reconciliation, simulator_stats
from broadcast.embedded.errors import EmbeddedError
from broadcast.embedded.keyed_stack import start_with_key
from broadcast.embedded.limits import Limits
from broadcast.embedded.options import StackOptions
from broadcast.embedded.profiled import LIMITS, ProfiledResult
from broadcast.embedded.stack import Stack
from broadcast.embedded.steps import Progress
from broadcast.routing import Simulation, note_of

INTERRUPTED_EXIT_CODE = 130


@click.command(name="demo")
@click.option("--recipients", type=click.IntRange(1, 5_000_000), default=10_000, show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep the data here; if absent, nowhere.")
@click.option("--api-port", type=click.IntRange(1, 65535), help="Port of the API; a free one if absent.")
@click.option("--profile", help="Let the simulator behave as this profile says: `hostile`, or a TOML file.")
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")
def command(
    *, recipients: int, data_dir: Path | None, api_port: int | None, profile: str | None, keep: bool, as_json: bool
) -> None:
    """Publish a flood alert to simulated phones through a real Kafka, PostgreSQL and SMPP, and account for each.

    Exits with 0 only if the audience equals the sum of final states and the simulator saw every number exactly once.
    With a profile that makes this impossible, it tells what happened, and exits with 0 if everybody is accounted for.
    """
    display = Display(quiet=as_json)
    with _directory(data_dir) as directory, display:
        try:
            problems = run_interruptible(
                _run(
                    directory=directory,
                    recipients=recipients,
                    api_port=api_port,
                    profile=profile,
                    keep=keep,
                    as_json=as_json,
                    display=display,
                )
            )
        except InterruptedRunError:
            sys.exit(INTERRUPTED_EXIT_CODE)
    sys.exit(1 if problems else 0)


async def _run(
    *,
    directory: Path,
    recipients: int,
    api_port: int | None,
    profile: str | None,
    keep: bool,
    as_json: bool,
    display: Display,
) -> list[str]:
    began_at = monotonic()
    steps: list[tuple[str, float]] = []

    def report(news: Progress) -> None:
        if news.phase == "ended":
            steps.append((news.step, news.seconds))
        display.report(news)

    async with Stack(directory, StackOptions(api_port=api_port, profile=profile), report=report) as stack:
        key = await start_with_key(stack)
        limits = LIMITS if stack.profile is not None else Limits()
        demonstration = Demonstration(stack, recipients, key, report=report, watch=display.watch, limits=limits)
        found = await demonstration.run()
        result: Reconciliation | ProfiledResult = found
        if stack.profile is not None:
            stats = await simulator_stats(stack.simulator_url)
            result = ProfiledResult(stack.profile.about, found, demonstration.end, stats)
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
    result: Reconciliation | ProfiledResult,
    demonstration: Demonstration,
    steps: list[tuple[str, float]],
    total: float,
) -> dict[str, Any]:
    found = result.reconciliation if isinstance(result, ProfiledResult) else result
    profiled: dict[str, Any] = {}
    if isinstance(result, ProfiledResult):
        profiled = {
            "exact": result.exact,
            "ended": result.end.why,
            "missing": dict(result.end.missing),
            "possible_duplicates": result.end.marked,
            "accounts": result.stats["accounts"],
            "violations": result.stats["violations"],
            "statements": list(result.statements()),
        }
    return {
        "alert_id": demonstration.alert_id,
        "recipients": demonstration.recipients,
        "audience": found.audience,
        "reached": 0,
        "states": dict(found.states),
        "simulated": Simulation.ALL.value,
        "gap": found.gap,
        "simulator": {
            "missing": found.missing,
            "unexpected": found.unexpected,
            "repeated": found.repeated,
        },
        "steps": [{"step": name, "seconds": round(seconds, 3)} for name, seconds in steps],
        "seconds": round(total, 3),
        "ok": not result.problems(),
        "problems": result.problems(),
        **profiled,
    }


def _show(result: Reconciliation | ProfiledResult, steps: list[tuple[str, float]], display: Display) -> None:
    found = result.reconciliation if isinstance(result, ProfiledResult) else result
    rows = [("audience", f"{found.audience:,}")]
    rows += [(f"  {state}", f"{count:,}") for state, count in found.states.items() if count]
    rows += [
        ("sum of states", f"{sum(found.states.values()):,}"),
        ("gap", f"{found.gap:,}"),
        ("never seen by the simulator", f"{found.missing:,}"),
        ("seen more than once", f"{found.repeated:,}"),
        ("seen but not in the audience", f"{found.unexpected:,}"),
    ]
    display.console.print(table_of("Reconciliation", rows))
    display.console.print(table_of("Time", [(name, f"{seconds:.2f} s") for name, seconds in steps]))
    exact = True
    if isinstance(result, ProfiledResult):
        exact = result.exact
        for statement in result.statements():
            display.console.print(f"[yellow]•[/yellow] {shown(statement)}", soft_wrap=True)
    for problem in result.problems():
        display.console.print(f"[red]✗[/red] {shown(problem)}")
    if not result.problems():
        once = ", and the simulator saw each exactly once" if exact else ""
        display.console.print(f"[green]✓[/green] every recipient is accounted for{shown(once)}")
    display.console.print(f"[yellow]•[/yellow] {shown(note_of(Simulation.ALL))}")


@contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    try:
        made = Path(tempfile.mkdtemp(prefix="tocsin-demo-"))
    except OSError as error:
        raise EmbeddedError(f"no temporary directory can be made ({error}): name a directory with --data-dir") from None
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
