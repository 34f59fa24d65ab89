"""Sends its own process a signal at one step, or shifts its wall clock.

Python imports this at the start of a process with it in PYTHONPATH. `INTERRUPT_AT` names the step: module, function,
"before" or "after", the number of its call, signal. `CLOCK_SHIFT` is a file of eight bytes: a number of seconds.
"""

import functools
import importlib
import inspect
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any


def _interrupt(module: str, name: str, when: str, number: str, signal_name: str) -> None:
    *path, last = name.split(".")
    owner: Any = functools.reduce(getattr, path, importlib.import_module(module))
    function: Callable[..., Any] = getattr(owner, last)
    calls = 0

    def pass_step(moment: str) -> None:
        nonlocal calls
        if moment == when:
            calls += 1
            if calls == int(number):
                os.kill(os.getpid(), signal.Signals[signal_name])

    if inspect.iscoroutinefunction(function):

        async def run(*arguments: Any, **keywords: Any) -> Any:
            pass_step("before")
            found = await function(*arguments, **keywords)
            pass_step("after")
            return found

        setattr(owner, last, run)
    else:

        def call(*arguments: Any, **keywords: Any) -> Any:
            pass_step("before")
            found = function(*arguments, **keywords)
            pass_step("after")
            return found

        setattr(owner, last, call)


def _shift_clock(path: Path) -> None:
    with path.open("rb") as file:
        shift = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

    def seconds() -> float:
        found: float = struct.unpack("d", shift[:8])[0]
        return found

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return now(tz) + timedelta(seconds=seconds())

    now, time_seconds, time_ns = datetime.now, time.time, time.time_ns
    time.time = lambda: time_seconds() + seconds()
    time.time_ns = lambda: time_ns() + int(seconds() * 1e9)
    importlib.import_module("broadcast.clock").datetime = Shifted  # type: ignore[attr-defined]


if shift_file := os.environ.get("CLOCK_SHIFT"):
    _shift_clock(Path(shift_file))
if step := os.environ.get("INTERRUPT_AT"):
    _interrupt(*step.split(" "))
