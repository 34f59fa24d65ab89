"""`python -m streams STAGE`: one stage as a process, with its health, until SIGTERM or SIGINT."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import NoReturn

import structlog
import uvloop

from broadcast import health_server, logs
from broadcast.errors import FENCED_EXIT_CODE, BroadcastError, FencedError
from broadcast.health import Health
from broadcast.settings import Settings, load_settings

STAGES = ("planner", "expander", "sender", "recorder")

STOP_LIMIT_SECONDS = 8.0
"""Most time from a signal to the end, below the 10 s after which Docker kills: what is not done by then is found by
the next start, as after a kill."""

YOUNG_OBJECTS = 20_000
"""Between two looks of the garbage collector, which finds next to nothing: records make no cycles. Measured: with 700,
the default, it took a fifth of the recorder's CPU and a tenth of the sender's; more than this gains nothing more."""

Run = Callable[[Settings, Health, asyncio.Event], Awaitable[None]]

log = structlog.get_logger(__name__)


async def run_stage(run: Run, settings: Settings, stage: str) -> None:
    """Run a stage with its health server; SIGTERM and SIGINT ask it to stop."""
    health = Health(stage)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with health_server.serve(health, settings.metrics_host, settings.metrics_port) as port:
        log.info("started", metrics_port=port)
        late = asyncio.create_task(_end_late(stop))
        await run(settings, health, stop)
        late.cancel()
    log.info("stopped")


async def _end_late(stop: asyncio.Event) -> None:
    await stop.wait()
    await asyncio.sleep(STOP_LIMIT_SECONDS)
    log.error("stop_took_too_long", seconds=STOP_LIMIT_SECONDS)
    _exit(1)


def main(arguments: list[str]) -> NoReturn:
    """Run the stage that is named and end the process: 0 after a stop, 76 after a fence, 1 for any other error."""
    if len(arguments) != 1 or arguments[0] not in STAGES:
        sys.stderr.write(f"usage: python -m streams {'|'.join(STAGES)}\n")
        sys.exit(2)
    stage = arguments[0]
    code = 0
    try:
        settings = load_settings()
        logs.configure(settings, stage)
        module = import_module(f"streams.{stage}")
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, 10, 50)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(_guard(module.run, settings, stage))
            _exit(code)
    except BroadcastError as error:
        sys.stderr.write(f"streams {stage}: {error}\n")
        code = 1
    _exit(code)


async def _guard(run: Run, settings: Settings, stage: str) -> int:
    try:
        await run_stage(run, settings, stage)
    except FencedError as error:
        log.error("fenced", error=str(error))  # noqa: TRY400 (where it happened says nothing)
        _exit(FENCED_EXIT_CODE)
    except BroadcastError as error:
        log.error("ended", error=str(error))  # noqa: TRY400
        return 1
    except Exception:
        log.exception("ended")
        return 1
    return 0


def _exit(code: int) -> NoReturn:
    # At once: threads and tasks that wait for something away must not hold a process that has ended.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
