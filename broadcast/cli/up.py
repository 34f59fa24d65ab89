"""`broadcast up`: the whole system on this machine, until Ctrl-C; its data stay for the next time."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any, NoReturn

import click

from broadcast.cli.terminal.display import Display, shown
from broadcast.cli.terminal.interruption import InterruptedRunError, has_terminal, run_interruptible
from broadcast.cli.terminal.stage_news import StageNews
from broadcast.clock import utc_now
from broadcast.embedded.keyed_stack import start_with_key
from broadcast.embedded.options import StackOptions
from broadcast.embedded.stack import Stack
from broadcast.network.addresses import hide_login
from broadcast.settings import STACK_FILE, load_settings
from broadcast.stages import STAGES

_HAD_TERMINAL = has_terminal()

LOOK_SECONDS = 2.0
"""Between two looks at what the stages miss."""

MARKS = {"✓": "green", "✗": "red", "·": "cyan"}
"""The colour of each mark in front of a line."""

_PORT = click.IntRange(1, 65535)


@click.command(name="up")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where the data live; BROADCAST_DATA_DIR, or ./data.")
@click.option("--api-port", type=_PORT, help="Port of the API; a free one if absent, the same at the next start.")
@click.option("--kafka-port", type=_PORT, help="Port of Apache Kafka.")
@click.option("--postgres-port", type=_PORT, help="Port of PostgreSQL.")
@click.option("--smsc-port", type=_PORT, help="Port of the SMSC simulator.")
@click.option("--smsc-option", "smsc_options", multiple=True, help="Passed on to `broadcast smsc`, as --delay-ms=50.")
@click.option("--routes", type=click.Path(path_type=Path, exists=True), help="Routes file; the simulator if absent.")
@click.option("--json", "as_json", is_flag=True, help="When ready, print one JSON object with addresses and key.")
def command(
    *,
    data_dir: Path | None,
    api_port: int | None,
    kafka_port: int | None,
    postgres_port: int | None,
    smsc_port: int | None,
    smsc_options: tuple[str, ...],
    routes: Path | None,
    as_json: bool,
) -> None:
    """Run Apache Kafka, PostgreSQL, the SMSC simulator, the API and every stage, and restart what dies.

    SIGHUP has the sender read the routes file again, and this command says whether the file was taken. The simulator
    runs if an account of the routes file leads to it, or if one of its options is given.
    """
    options = StackOptions(
        api_port=api_port,
        kafka_port=kafka_port,
        postgres_port=postgres_port,
        simulator=None if smsc_port is None and not smsc_options else True,
        simulator_port=smsc_port,
        simulator_arguments=smsc_options,
        routes_file=routes,
    )
    with Display(quiet=as_json) as display:
        try:
            run_interruptible(_run(data_dir or load_settings().data_dir, options, as_json, display))
        except InterruptedRunError:
            display.console.print("stopped; the data stay")


async def _run(data_dir: Path, options: StackOptions, as_json: bool, display: Display) -> None:
    async with Stack(data_dir, options, report=display.report) as stack:
        key = await start_with_key(stack)
        stack.keep_servers()
        display.close()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _hang_up, stack)
        settings = stack.settings
        addresses: dict[str, Any] = {
            "api": stack.api_url,
            "docs": f"{stack.api_url}/docs",
            "kafka": settings.kafka_bootstrap,
            "database": settings.database_url.get_secret_value(),
            "simulator": stack.simulator_url if stack.simulator_wanted else None,
            "data": str(stack.data_dir),
            "key": key,
        }
        metrics = {stage: f"{stack.metrics_url(stage)}/metrics" for stage in STAGES}
        if as_json:
            click.echo(json.dumps(addresses | {"metrics": metrics}))
        else:
            # The lines may go into a log, which has no business with passwords.
            file = stack.data_dir / STACK_FILE
            addresses |= {
                "database": f"{hide_login(addresses['database'])}, in full as BROADCAST_DATABASE_URL in {file}",
                "key": f"BROADCAST_API_KEY in {file}",
            }
            for name, value in addresses.items():
                click.echo(f"{name:<10} {value or 'not started: no account of the routes file leads to it'}")
            for stage, url in metrics.items():
                click.echo(f"{'metrics':<10} {url} ({stage})")
            click.echo("Ctrl-C stops everything; the data stay.")
        await _tell_news(stack, display)


def _hang_up(stack: Stack) -> None:
    """Reload the routes; where the terminal has gone, as when its window is closed, stop as by Ctrl-C."""
    if _HAD_TERMINAL and not has_terminal():
        os.kill(os.getpid(), signal.SIGINT)
    else:
        stack.reload_routes()


async def _tell_news(stack: Stack, display: Display) -> NoReturn:
    """Print what the stages miss from outside, such as an account that is not bound, and what they tell."""
    news = StageNews()
    while True:
        state = await stack.read_state()
        if state is not None:
            told = news.tell(state.missing, state.facts, utc_now(), starting=bool(state.starting))
            for mark, line in told:
                display.console.print(f"[{MARKS[mark]}]{mark}[/] {shown(line)}", soft_wrap=True)
        await asyncio.sleep(LOOK_SECONDS)
