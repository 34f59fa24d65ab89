"""Sends its own process a signal at one step: Python imports this at the start of a process with it in PYTHONPATH.

`INTERRUPT_AT` names the step: module, function, "before" or "after", the number of its call, signal.
"""

import functools
import importlib
import inspect
import os
import signal
from collections.abc import Callable
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


if step := os.environ.get("INTERRUPT_AT"):
    _interrupt(*step.split(" "))
