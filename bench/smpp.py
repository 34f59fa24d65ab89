"""SMPP alone: one session against the simulator in a process of its own, over loopback.

`python -m bench.smpp [--submits N] [--windows 64,500,1000] [--json]`. CPU is user + system time of each process.
"""

import asyncio
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from urllib.request import urlopen

import click
import psutil
import uvloop

from broadcast.smpp.account import BindConfig
from broadcast.smpp.binding import connect
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.session import Session
from broadcast.smpp.window import Response

_TEXT = b"Flood warning for the river district: go to higher ground now. Bring medicine and papers. Info: 112.example"
_SECONDS_LIMIT = 120.0


@dataclass(frozen=True, slots=True)
class Result:
    """One run. CPU in microseconds per submit; receipts include their answers."""

    window: int
    receipts: bool
    submits: int
    submits_per_second: float
    seconds_to_last_receipt: float
    client_cpu_us: float
    simulator_cpu_us: float
    highest_unanswered: int
    simulator_memory_mb: float


class FullWindow:
    """The listener of the measured session: keeps its window full, and answers receipts as they come."""

    def __init__(self, template: SubmitTemplate, destinations: list[bytes], receipts: bool) -> None:
        self.done = asyncio.Event()
        self.answered_at = 0.0
        self._template = template
        self._destinations = destinations
        self._tokens = range(len(destinations))
        self._written = self._answered = self._receipts = 0
        self._wants_receipts = receipts

    def on_room(self, session: Session[int]) -> None:
        start = self._written
        if start < len(self._destinations):
            stop = start + session.room
            self._written += session.submit(self._template, self._destinations[start:stop], self._tokens[start:stop])

    def on_responses(self, _session: Session[int], responses: list[Response[int]]) -> None:
        self._answered += len(responses)
        if self._answered == len(self._destinations):
            self.answered_at = time.perf_counter()
            self._check()

    def on_late(self, _session: Session[int], _responses: list[Response[int]]) -> None:
        raise AssertionError("late response on loopback")

    def on_deliveries(self, session: Session[int], deliveries: list[Delivery]) -> None:
        self._receipts += len(deliveries)
        session.answer([delivery.sequence for delivery in deliveries])
        self._check()

    def on_lost(self, _session: Session[int], error: SmppError, unanswered: list[int]) -> None:
        if unanswered:
            raise AssertionError(f"{len(unanswered)} submits lost: {error}")

    def _check(self) -> None:
        total = len(self._destinations)
        if self._answered == total and (self._receipts == total or not self._wants_receipts):
            self.done.set()


@contextmanager
def run_simulator() -> Iterator[dict[str, int]]:
    """The simulator as a process; yields what it printed when ready."""
    command = [sys.executable, "-m", "broadcast.smsc.command", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


def read_stats(ready: dict[str, int]) -> dict[str, Any]:
    with urlopen(f"http://127.0.0.1:{ready['stats_port']}/stats", timeout=10) as answer:
        stats: dict[str, Any] = json.load(answer)
        return stats


def own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(submits: int, window: int, receipts: bool) -> Result:
    with run_simulator() as ready:
        simulator = psutil.Process(ready["pid"])
        template = SubmitTemplate(source=b"TOCSIN", text=_TEXT, registered_delivery=int(receipts))
        listener = FullWindow(template, [b"49151%08d" % number for number in range(submits)], receipts)
        config = BindConfig(host="127.0.0.1", port=ready["port"], system_id="bench", window=window)
        before, cpu, started_at = simulator.cpu_times(), own_cpu(), time.perf_counter()
        session = await connect(config, listener)
        async with asyncio.timeout(_SECONDS_LIMIT):
            await listener.done.wait()
        finished_at, own = time.perf_counter(), own_cpu() - cpu
        after = simulator.cpu_times()
        await session.unbind(2.0)
        stats = await asyncio.to_thread(read_stats, ready)
        if (stats["unique_destinations"], stats["duplicates"]) != (submits, 0):
            raise AssertionError(f"simulator saw {stats['unique_destinations']} destinations of {submits}")
        spent = after.user + after.system - before.user - before.system
        return Result(
            window=window,
            receipts=receipts,
            submits=submits,
            submits_per_second=round(submits / (listener.answered_at - started_at)),
            seconds_to_last_receipt=round(finished_at - started_at, 3),
            client_cpu_us=round(own / submits * 1e6, 2),
            simulator_cpu_us=round(spent / submits * 1e6, 2),
            highest_unanswered=stats["highest_unanswered"],
            simulator_memory_mb=round(simulator.memory_info().rss / 1e6, 1),
        )


@click.command()
@click.option("--submits", default=200_000, show_default=True)
@click.option("--windows", default="64,500,1000", show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(submits: int, windows: str, as_json: bool) -> None:
    """Submits per second and CPU per submit, with and without receipts."""
    results = []
    for receipts in (False, True):
        for window in map(int, windows.split(",")):
            result = uvloop.run(measure(submits, window, receipts))
            results.append(result)
            if not as_json:
                print(
                    f"window {window:5} receipts {'yes' if receipts else 'no ':3} "
                    f"{result.submits_per_second:9,.0f} submits/s  "
                    f"all done {result.submits / result.seconds_to_last_receipt:9,.0f}/s  "
                    f"client {result.client_cpu_us:5.2f} us  simulator {result.simulator_cpu_us:5.2f} us  "
                    f"highest unanswered {result.highest_unanswered}  {result.simulator_memory_mb} MB"
                )
    if as_json:
        machine = {"cores": psutil.cpu_count(), "python": platform.python_version(), "uvloop": uvloop.__version__}
        print(json.dumps({"machine": machine, "results": [asdict(result) for result in results]}, indent=2))


if __name__ == "__main__":
    main()
