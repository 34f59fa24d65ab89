"""`python -m bench` (make bench): one broadcast on the embedded stack, measured end to end and per stage."""

import asyncio
import json
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bench.broadcast import Bench
from bench.machine import describe_machine
from bench.pages import DONE_MILLISECONDS, RUNNING_MILLISECONDS
from broadcast.cli.terminal.display import Display, table_of
from broadcast.embedded.keyed_stack import start_with_key
from broadcast.embedded.options import StackOptions
from broadcast.embedded.stack import Stack

RESULTS = Path(__file__).parent / "results"


@click.command()
@click.option("--recipients", type=click.IntRange(1_000), default=200_000, show_default=True)
@click.option("--publishes", default=300, show_default=True, help="For the latency; 0 leaves it out.")
@click.option("--stages-only", is_flag=True, help="The broadcast only: no latency, overtaking, pages or stop.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep data and logs here; if absent, nowhere.")
@click.option("--json", "as_json", is_flag=True)
def main(
    *, recipients: int, publishes: int, stages_only: bool, results: Path, data_dir: Path | None, as_json: bool
) -> None:
    """Measure a broadcast to RECIPIENTS simulated phones; results go to a JSON file and the terminal."""
    directory = data_dir or Path(tempfile.mkdtemp(prefix="tocsin-bench-"))
    display = Display(quiet=as_json)
    try:
        with display:
            measured = asyncio.run(
                _measure(directory, recipients, 0 if stages_only else publishes, stages_only, display)
            )
    finally:
        if data_dir is None:
            shutil.rmtree(directory, ignore_errors=True)
    results.mkdir(parents=True, exist_ok=True)
    file = results / f"broadcast-{recipients}.json"
    file.write_text(json.dumps(measured, indent=1) + "\n")
    if as_json:
        click.echo(json.dumps(measured))
        return
    for title, rows in _rows(measured):
        display.console.print(table_of(title, rows))
    display.console.print(f"written to {file}")


async def _measure(
    directory: Path, recipients: int, publishes: int, stages_only: bool, display: Display
) -> dict[str, Any]:
    async with Stack(directory, StackOptions(), report=display.report) as stack:
        bench = Bench(stack, recipients, await start_with_key(stack), display.report)
        await bench.load()
        await bench.throughput()
        if not stages_only:
            await bench.overtaking()
            await bench.pages()
            await bench.stopping()
        if publishes:
            await bench.latency(publishes)
    return {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": describe_machine(), **bench.results}


def _rows(measured: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    broadcast = measured["throughput"]
    tables = [
        (
            "Broadcast",
            [
                ("recipients", f"{broadcast['recipients']:,}"),
                ("publish to last receipt in the audit", f"{broadcast['seconds']:.2f} s"),
                ("recipients per second", f"{broadcast['recipients_per_second']:,}"),
                ("cores used", f"{broadcast['cores_used']:.2f}"),
            ],
        ),
        ("CPU per recipient, µs", [(k, f"{v:.2f}") for k, v in broadcast["cpu_microseconds_per_recipient"].items()]),
        ("Peak memory, MB", [(k, f"{v:.1f}") for k, v in broadcast["peak_megabytes"].items()]),
    ]
    titles = {
        "publish_to_first_submit_milliseconds": "Publish to first submit, idle, ms",
        "with_backlog_milliseconds": "An immediate alert behind a routine one, ms",
        "stop": "Stop",
    }
    tables += [
        (title, [(name.replace("_", " "), f"{value:,}") for name, value in measured[key].items()])
        for key, title in titles.items()
        if key in measured
    ]
    pages = measured.get("page_milliseconds", {})
    for when, limit in (("running", RUNNING_MILLISECONDS), ("done", DONE_MILLISECONDS)):
        if when in pages:
            rows = [(name, f"{value:,}{'  OVER' if value > limit else ''}") for name, value in pages[when].items()]
            tables.append((f"A page of 1,000 by state, {when}, ms (limit {limit:.0f})", rows))
    return tables


main()
