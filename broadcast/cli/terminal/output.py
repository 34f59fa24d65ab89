"""The output of a command that does what cannot be undone: looked at before the act."""

import os
import select
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EBADF, ENOSPC, EPIPE
from fcntl import F_GETFL, fcntl
from typing import Final

import click

from broadcast.errors import InputError

DONE_UNWRITTEN_EXIT_CODE: Final = 6
"""What was asked for is done, and its output could not be written: do not repeat it."""

_FULL: Final = "/dev/full"


def require_output() -> None:
    """InputError if stdout is known to take nothing: a full disk. Closed is no error.

    BrokenPipeError if nobody reads it.
    """
    try:
        number = sys.stdout.fileno()
        fault = _fault_of(number)
    except (OSError, ValueError):
        return  # no file: a test, or a program that has put something of its own there
    if fault == EPIPE:
        with suppress(OSError):
            click.echo("broadcast: nobody reads stdout, and nothing was done", err=True)
        raise BrokenPipeError(fault, os.strerror(fault))
    if fault:
        raise InputError(
            f"stdout cannot be written ({os.strerror(fault)}), and nothing was done; make room, or write it to another "
            "place"
        )


@contextmanager
def after(done: str) -> Iterator[None]:
    """Output about an act that is done: if it fails, stderr has `done`, and the process ends with 6."""
    try:
        yield
    except OSError as error:
        drop_stdout()
        with suppress(OSError):
            click.echo(
                f"broadcast: {done}; do not repeat it. The output cannot be written ({error.strerror})", err=True
            )
        sys.exit(DONE_UNWRITTEN_EXIT_CODE)


def print_result(text: str, done: str) -> None:
    """Print what an act gives, on stderr if stdout is closed; `done` says what stands if that fails."""
    with after(done):
        click.echo(text, err=is_closed())


def is_closed() -> bool:
    """Whether the command was started without a stdout."""
    return sys.stdout is None or getattr(sys.stdout, "name", "") == os.devnull


def drop_stdout() -> None:
    """Lead stdout nowhere: Python flushes it once more at its end, into the same file or pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _fault_of(number: int) -> int:
    """The errno that a write would give, as far as that can be known without one; else 0."""
    status = os.fstat(number)
    if fcntl(number, F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        return EBADF
    if stat.S_ISCHR(status.st_mode):
        with suppress(OSError):
            return ENOSPC if status.st_rdev == os.stat(_FULL).st_rdev else 0  # noqa: PTH116 (a number, no path)
        return 0
    if stat.S_ISREG(status.st_mode):
        disk = os.fstatvfs(number)
        free = disk.f_bavail if os.geteuid() else disk.f_bfree
        return ENOSPC if disk.f_blocks and not free else 0
    if stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode):
        poll = select.poll()
        poll.register(number, 0)
        return EPIPE if poll.poll(0) else 0
    return 0
