"""A process of ours from its start to its end: event loop, signals, health server, exit code.

`run_process` is for stages and the API; `run_until_signal` is what it shares with the simulator, which has neither
settings nor probes.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final, NoReturn

import structlog
import uvloop

from broadcast import logs
from broadcast.database.process_rows import keep_process_row
from broadcast.errors import FENCED_EXIT_CODE, BroadcastError, FencedError
from broadcast.health import Health, http_server
from broadcast.health.server_watch import watch_servers
from broadcast.settings import Settings, load_settings
from broadcast.stages import USES_DATABASE

STOP_LIMIT_SECONDS: Final = 8.0
"""Most time from a signal to the end, below the 10 s after which Docker kills: what is not done by then is found by
the next start, as after a kill."""

YOUNG_OBJECTS: Final = 20_000
"""Between two looks of the garbage collector, which finds next to nothing: records make no cycles. Measured: with 700,
the default, it took a fifth of the recorder's CPU and a tenth of the sender's; more than this gains nothing more."""

Work = Callable[[asyncio.Event], Awaitable[None]]
"""Works until the event is set, then stops in its own order within `STOP_LIMIT_SECONDS`."""

Run = Callable[[Settings, Health, asyncio.Event], Awaitable[None]]
"""The work of a stage, which also says how it is."""

log = structlog.get_logger(__name__)


def run_process(name: str, load: Callable[[], Run], *, command: str | None = None, probes: bool = True) -> NoReturn:
    """Run a stage until SIGTERM or SIGINT, then end the process. SIGHUP has a sender read its routes again.

    Exit codes: 0 after a stop, 76 after a fence, 1 for any other error. `load` imports the work, after the settings
    were read and logs configured. `probes`: serve `/healthz`, `/readyz` and `/metrics`; the API does so itself.
    `command` stands before what a person reads on stderr when the process cannot even begin.
    """
    code = 0
    try:
        settings = load_settings()
        logs.configure(settings, name)
        run = load()
        run_until_signal(lambda stop: _guard(name, run, settings, stop, probes=probes))
    except BroadcastError as error:
        sys.stderr.write(f"{command or name}: {error}\n")
        code = 1
    end_now(code)


def run_until_signal(work: Work) -> None:
    """Do `work` in an event loop of its own; SIGTERM and SIGINT set its event. Raises what it raises.

    A process that has not ended `STOP_LIMIT_SECONDS` after the signal ends at once, with 1.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work_until_signal(work))


def end_now(code: int) -> NoReturn:
    """End this process: threads and tasks that wait for something away must not hold it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _work_until_signal(work: Work) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    late = asyncio.create_task(_end_late(stop), name="late stop")
    try:
        await work(stop)
    finally:
        late.cancel()


async def _end_late(stop: asyncio.Event) -> None:
    await stop.wait()
    await asyncio.sleep(STOP_LIMIT_SECONDS)
    log.error("stop_limit_exceeded", seconds=STOP_LIMIT_SECONDS)
    end_now(1)


async def _guard(name: str, run: Run, settings: Settings, stop: asyncio.Event, *, probes: bool) -> NoReturn:
    # Ends the process within the loop: closing it would wait for threads and tasks.
    try:
        await _serve(name, run, settings, stop, probes=probes)
    except ExceptionGroup as group:
        _end_failed(_first_of(group))
    except Exception as error:
        _end_failed(error)
    end_now(0)


def _first_of(group: ExceptionGroup[Exception]) -> Exception:
    # What a task group raises where one of its tasks has failed.
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, ExceptionGroup) else first


def _end_failed(error: Exception) -> NoReturn:
    match error:
        case FencedError():
            log.error("process_fenced", error=str(error))
            end_now(FENCED_EXIT_CODE)
        case BroadcastError():  # where it happened says nothing
            log.error("process_failed", error=str(error))
        case _:
            log.error("process_failed", exc_info=error)
    end_now(1)


def _ignore_reload(name: str) -> None:
    log.warning("reload_ignored", stage=name, remedy="only a sender reads its routes again; restart this stage")


async def _serve(name: str, run: Run, settings: Settings, stop: asyncio.Event, *, probes: bool) -> None:
    health = Health(name)
    # A stage that reads its routes again has a handler of its own; the others must not die of the signal.
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _ignore_reload, name)
    async with AsyncExitStack() as stack:
        facts: dict[str, int] = {}
        if probes:
            server = http_server.serve(health, settings.metrics_host, settings.metrics_port)
            facts["metrics_port"] = await stack.enter_async_context(server)
        log.info("process_started", **facts)
        watch = watch_servers(settings, health, database=USES_DATABASE.get(name), logs=health.logs)
        await stack.enter_async_context(watch)
        await stack.enter_async_context(keep_process_row(settings, name))
        await run(settings, health, stop)
    log.info("process_stopped")
