"""Whether stdout takes an answer is looked at before a command does what cannot be undone."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from broadcast.cli.terminal import output
from broadcast.cli.terminal.output import require_output
from broadcast.errors import InputError


@contextmanager
def stdout_is(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    """Have stdout be this file descriptor."""
    with os.fdopen(number, "w", closefd=False) as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", file)
        yield


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_nothing_is_done_once_nobody_reads_the_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    if kind == "pipe":
        reader, writer = os.pipe()
    else:
        reader, writer = (each.detach() for each in socket.socketpair())
    with stdout_is(monkeypatch, writer):
        require_output()
        os.close(reader)
        with pytest.raises(BrokenPipeError):
            require_output()
    os.close(writer)
    assert capsys.readouterr().err == "broadcast: nobody reads stdout, and nothing was done\n"


@pytest.mark.parametrize(
    ("blocks", "free", "free_for_all", "user", "full"),
    [
        (100, 0, 0, 0, True),
        (100, 0, 0, 1000, True),
        (100, 5, 0, 1000, True),
        (100, 5, 0, 0, False),
        (100, 5, 5, 1000, False),
        (0, 0, 0, 1000, False),
    ],
    ids=["full", "full for a user", "kept for root", "root", "room", "no disk"],
)
def test_nothing_is_done_if_the_disk_of_the_output_is_full(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, blocks: int, free: int, free_for_all: int, user: int, full: bool
) -> None:
    number = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    disk = SimpleNamespace(f_blocks=blocks, f_bfree=free, f_bavail=free_for_all)
    monkeypatch.setattr(os, "fstatvfs", lambda _: disk)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with stdout_is(monkeypatch, number):
        if full:
            with pytest.raises(InputError, match="No space left on device\\), and nothing was done"):
                require_output()
        else:
            require_output()
    os.close(number)


@pytest.mark.parametrize(
    ("path", "flags", "fault"),
    [
        ("/dev/full", os.O_WRONLY, "No space left on device"),
        ("/dev/null", os.O_WRONLY, ""),
        ("/dev/null", os.O_RDONLY, "Bad file descriptor"),
    ],
)
def test_a_device_takes_the_output_or_nothing_is_done(path: str, flags: int, fault: str) -> None:
    number = os.open(path, flags)
    shown = os.strerror(output._fault_of(number)) if output._fault_of(number) else ""
    os.close(number)
    assert shown == fault
