"""Children of a test that end with it: also where a worker of pytest is killed and no fixture ends them."""

import os
import signal
import sys

from broadcast.embedded.processes.child import LAUNCHER


def ending_with_us(*words: str) -> list[str]:
    """A command line of Python's own words, whose process gets SIGTERM when this one dies."""
    launch = (os.getpid(), int(signal.SIGTERM), -1, 0)
    return [sys.executable, "-I", "-S", str(LAUNCHER), *map(str, launch), "--", sys.executable, *words]
