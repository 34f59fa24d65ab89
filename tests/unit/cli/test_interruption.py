"""A command that outlives its terminal notices that the terminal has gone."""

import os
import pty
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from broadcast.cli.terminal.interruption import has_terminal
report = os.fdopen(int(sys.argv[1]), "w")
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
print(has_terminal(), file=report, flush=True)
signal.sigwait([signal.SIGHUP])
print(has_terminal(), file=report, flush=True)
"""


def test_a_terminal_that_is_closed_is_noticed_after_its_hangup() -> None:
    ours, theirs = pty.openpty()
    read, write = os.pipe()
    with os.fdopen(read) as report:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(write)],
            stdin=theirs,
            pass_fds=[write],
            cwd=ROOT,
            start_new_session=True,
        )
        os.close(write)
        os.close(theirs)
        assert report.readline() == "True\n"
        os.close(ours)
        assert report.readline() == "False\n"
    assert process.wait(timeout=10) == 0
