"""SMPP alone: the binds of one process against the simulator in a process beside it, over loopback.

`python -m bench.smpp [--json]`, or `make bench-smpp`; it fails when a guard is missed. Three parts: one bind as fast as
it can, with receipts; the client of smpp34 likewise; and binds with a round trip of 20 ms, so that only their windows
limit them. CPU is user + system time of each process.

The round trip is that of one submit alone, which the run with a window of 1 shows: the simulator answers a little
earlier than 20 ms after a submit came. All that full windows need above that counts against us.

With a round trip the cores have nothing to do for most of the time, and a virtual machine takes long to wake a core
that waits. That is not ours: processes of the lowest priority keep the cores awake; `--let-cores-sleep` goes without.
"""

import asyncio
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.request import ProxyHandler, build_opener

import click
import psutil
import smpp34
import uvloop

from broadcast.smpp.account import BindConfig
from broadcast.smpp.binding import connect
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.session import Session
from broadcast.smpp.window import Response

TEXT: Final = b"Flood warning for the river district: go to higher ground now. Bring medicine. Info: 112.example"
SECONDS_LIMIT: Final = 60.0
WINDOW: Final = 64
ROUND_TRIP_MS: Final = 20
OWN_SHARE_MS: Final = 0.6
"""Of the round trip of one submit alone, what loopback and both processes take beside the simulator's delay."""
WINDOWS: Final = (10, 64, 500)
BINDS: Final = (1, 2, 4, 8)
SHORT_RUN_SECONDS: Final = 1.5
TRIES: Final = 2
"""The best of so many runs counts: other processes of the machine can only slow a run."""
GUARD_PER_SECOND: Final = 150_000
GUARD_SHARE: Final = 0.95
"""Of what the windows allow at the round trip, up to the guard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is measured; `wanted` submits per second are the guard, 0: none."""

    client: str = "tocsin"
    binds: int = 1
    window: int = WINDOW
    round_trip_ms: int = 0
    receipts: bool = True
    submits: int
    wanted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured. CPU in microseconds per submit, with its receipt and the answer to that."""

    run: Run
    submits_per_second: int
    client_cpu_us: float
    simulator_cpu_us: float
    highest_unanswered: int

    @property
    def enough(self) -> bool:
        """Whether the guard is fulfilled."""
        return self.submits_per_second >= self.run.wanted

    def describe(self) -> str:
        """The result as a line."""
        run = self.run
        receipts = ", receipts" if run.receipts else ""
        guard = f"; wanted {run.wanted:,}: {'yes' if self.enough else 'NO'}" if run.wanted else ""
        return (
            f"{f'{run.client}, {run.binds} x {run.window}, {run.round_trip_ms} ms{receipts}':32}"
            f"{self.submits_per_second:9,} submits/s, CPU {self.client_cpu_us:.2f} us, "
            f"simulator {self.simulator_cpu_us:.2f} us{guard}"
        )


class FullWindow:
    """The listener of all measured sessions: keeps their windows full, and answers receipts as they come."""

    def __init__(self, submits: int, receipts: bool) -> None:
        self.done = asyncio.Event()
        self.began_at = self.answered_at = 0.0
        self._template = SubmitTemplate(source=b"TOCSIN", text=TEXT, registered_delivery=int(receipts))
        self._destinations = [b"49151%08d" % number for number in range(submits)]
        self._tokens = range(submits)
        self._written = self._answered = self._receipts = 0
        self._wants_receipts = receipts
        self._open = False

    def open(self, sessions: list[Session[int]]) -> None:
        """Begin to write on all sessions."""
        self._open = True
        self.began_at = time.perf_counter()
        for session in sessions:
            self.on_room(session)

    def on_room(self, session: Session[int]) -> None:
        start = self._written
        if self._open and start < len(self._destinations):
            stop = start + session.room
            self._written += session.submit(self._template, self._destinations[start:stop], self._tokens[start:stop])

    def on_responses(self, _session: Session[int], responses: list[Response[int]]) -> None:
        self._answered += len(responses)
        if self._answered == len(self._destinations):
            self.answered_at = time.perf_counter()
            self._check()

    def on_late(self, _session: Session[int], _responses: list[Response[int]]) -> None:
        raise AssertionError("late response on loopback")

    def on_second(self, _session: Session[int], _responses: list[Response[int]]) -> None:
        raise AssertionError("second response on loopback")

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
def run_simulator(round_trip_ms: int) -> Iterator[dict[str, int]]:
    """The simulator as a process; yields what it printed when ready."""
    options = ["--port", "0", "--delay-ms", str(max(0.0, round_trip_ms - OWN_SHARE_MS)), "--json"]
    command = [sys.executable, "-m", "broadcast.smsc.command", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


@contextmanager
def keep_awake() -> Iterator[None]:
    """Keep each core busy, so that it need not wake; only where nobody else wants it (SCHED_IDLE, else nice 19)."""
    command = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        for process in busy:
            _yield_to_all(process.pid)
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def _yield_to_all(pid: int) -> None:
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    else:
        psutil.Process(pid).nice(19)


def read_stats(ready: dict[str, int]) -> dict[str, Any]:
    with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{ready['stats_port']}/stats", timeout=10) as answer:
        stats: dict[str, Any] = json.load(answer)
        return stats


class Spent:
    """The CPU that both processes spend, from now until `stop`."""

    def __init__(self, ready: dict[str, int]) -> None:
        self._simulator = psutil.Process(ready["pid"])
        self._began = self._now()
        self._spent = (0.0, 0.0)

    def stop(self) -> None:
        """Count no further."""
        own, simulator = self._now()
        self._spent = own - self._began[0], simulator - self._began[1]

    def result(self, run: Run, seconds: float, highest_unanswered: int) -> Result:
        """The result of a run that took so long until its last answer."""
        own, simulator = (round(spent / run.submits * 1e6, 2) for spent in self._spent)
        return Result(
            run=run,
            submits_per_second=round(run.submits / seconds),
            client_cpu_us=own,
            simulator_cpu_us=simulator,
            highest_unanswered=highest_unanswered,
        )

    def _now(self) -> tuple[float, float]:
        usage, other = resource.getrusage(resource.RUSAGE_SELF), self._simulator.cpu_times()
        return usage.ru_utime + usage.ru_stime, other.user + other.system


async def measure(run: Run) -> Result:
    """Submit on all binds as fast as their windows allow."""
    with run_simulator(run.round_trip_ms) as ready:
        listener = FullWindow(run.submits, run.receipts)
        config = BindConfig(host="127.0.0.1", port=ready["port"], system_id="bench", window=run.window)
        sessions = [await connect(config, listener) for _ in range(run.binds)]
        spent = Spent(ready)
        listener.open(sessions)
        async with asyncio.timeout(SECONDS_LIMIT):
            await listener.done.wait()
        spent.stop()
        await asyncio.gather(*(session.unbind(2.0) for session in sessions))
        stats = await asyncio.to_thread(read_stats, ready)
        if (stats["unique_destinations"], stats["duplicates"]) != (run.submits, 0):
            raise AssertionError(f"simulator saw {stats['unique_destinations']} destinations of {run.submits}")
        if stats["highest_unanswered"] > run.window:
            raise AssertionError(f"{stats['highest_unanswered']} submits unanswered in a window of {run.window}")
        return spent.result(run, listener.answered_at - listener.began_at, stats["highest_unanswered"])


async def measure_smpp34(run: Run) -> Result:
    """The client of smpp34: as many tasks as its window has places, and one that takes receipts."""
    with run_simulator(run.round_trip_ms) as ready:
        client = smpp34.Client(
            host="127.0.0.1",
            port=ready["port"],
            system_id="bench",
            password="",
            bind_type="TRX",
            window_size=run.window,
            inbound_capacity=run.submits,
        )
        smsc = await client.connect()
        numbers = iter(range(run.submits))

        async def submit() -> None:
            for number in numbers:
                await smsc.submit_sm(
                    destination_addr=f"49151{number:08d}",
                    source_addr="TOCSIN",
                    source_addr_ton=5,
                    short_message=TEXT,
                    registered_delivery=1,
                )

        async def receive() -> None:
            for _ in range(run.submits):
                await smsc.next()

        spent, began_at = Spent(ready), time.perf_counter()
        receipts = asyncio.create_task(receive())
        async with asyncio.timeout(SECONDS_LIMIT):
            await asyncio.gather(*(submit() for _ in range(run.window)))
            answered_at = time.perf_counter()
            await receipts
        spent.stop()
        await smsc.unbind()
        stats = await asyncio.to_thread(read_stats, ready)
        return spent.result(run, answered_at - began_at, stats["highest_unanswered"])


def measure_best(run: Run) -> Result:
    """The first result that fulfils the guard, or the best of some."""
    results: list[Result] = []
    while len(results) < TRIES:
        results.append(uvloop.run(measure(run)))
        if results[-1].enough:
            break
    return max(results, key=lambda result: result.submits_per_second)


def measure_all(submits: int, *, let_cores_sleep: bool = False) -> Iterator[Result]:
    """All runs, one after the other."""
    yield measure_best(Run(submits=submits, wanted=GUARD_PER_SECOND))
    yield uvloop.run(measure_smpp34(Run(client="smpp34", submits=submits // 20)))
    with nullcontext() if let_cores_sleep else keep_awake():
        # One submit after the other: the round trip as it is, 50/s for 20 ms.
        yield measure_best(Run(window=1, round_trip_ms=ROUND_TRIP_MS, receipts=False, submits=100))
        for window in WINDOWS:
            for binds in BINDS:
                allowed = min(GUARD_PER_SECOND, binds * window * 1000 // ROUND_TRIP_MS)
                yield measure_best(
                    Run(
                        binds=binds,
                        window=window,
                        round_trip_ms=ROUND_TRIP_MS,
                        receipts=False,
                        submits=round(allowed * SHORT_RUN_SECONDS),
                        wanted=round(allowed * GUARD_SHARE),
                    )
                )


@click.command()
@click.option("--submits", default=400_000, show_default=True, help="Of the first part.")
@click.option("--let-cores-sleep", is_flag=True, help="Keep no core awake in the runs with a round trip.")
@click.option("--json", "as_json", is_flag=True)
def main(submits: int, let_cores_sleep: bool, as_json: bool) -> None:
    """Submits per second and CPU per submit; exit code 1 when a guard is missed."""
    results = []
    for result in measure_all(submits, let_cores_sleep=let_cores_sleep):
        results.append(result)
        if not as_json:
            print(result.describe(), flush=True)
    if as_json:
        machine = {"cores": psutil.cpu_count(), "python": platform.python_version(), "uvloop": uvloop.__version__}
        print(json.dumps({"machine": machine, "results": [asdict(result) for result in results]}, indent=2))
    missed = sum(not result.enough for result in results)
    if missed:
        raise SystemExit(f"{missed} of {len(results)} runs were slower than wanted")


if __name__ == "__main__":
    main()
