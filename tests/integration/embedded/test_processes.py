"""Child processes: how they start, die, are ended and started again."""

import os
import signal
import sys
from pathlib import Path

import pytest

from broadcast.embedded.errors import StartError
from broadcast.embedded.processes.child import Process
from broadcast.embedded.processes.supervisor import Restart, Supervised
from broadcast.embedded.servers.postgres import NOBODY
from tests.support.waiting import remains

STUBBORN = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(60)
"""
READY_BUDGET_SECONDS = 20.0


def python(name: str, code: str, directory: Path, *arguments: str) -> Process:
    return Process(name, [sys.executable, "-c", code, *arguments], log_file=directory / f"{name}.log")


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_process_that_dies_before_it_is_ready_is_explained_by_its_log(tmp_path: Path) -> None:
    process = python("trial", "import sys; sys.exit('no such door')", tmp_path)
    process.start()

    async def never() -> bool:
        return False

    with pytest.raises(StartError, match=r"trial ended with code 1 .*no such door"):
        await process.wait_ready(never, budget_seconds=READY_BUDGET_SECONDS)


async def test_process_that_is_not_ready_in_time_is_an_error(tmp_path: Path) -> None:
    process = python("trial", "import time; time.sleep(60)", tmp_path)
    process.start()

    async def never() -> bool:
        return False

    with pytest.raises(StartError, match="not ready within"):
        await process.wait_ready(never, budget_seconds=0.1)
    assert await process.stop(budget_seconds=5) == -signal.SIGTERM


async def test_stubborn_process_is_killed_with_its_children_after_the_budget(tmp_path: Path) -> None:
    file = tmp_path / "child"
    process = python("stubborn", STUBBORN, tmp_path, str(file))
    process.start()

    async def has_child() -> bool:
        return file.exists() and file.read_text() != ""

    await process.wait_ready(has_child, budget_seconds=READY_BUDGET_SECONDS)
    child = int(file.read_text())
    assert await process.stop(budget_seconds=0.2) == -signal.SIGKILL
    assert not lives(child)


async def test_child_is_in_a_session_of_its_own(tmp_path: Path) -> None:
    process = python("trial", "import time; time.sleep(60)", tmp_path)
    process.start()
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    await process.stop(budget_seconds=5)


async def test_server_user_may_pass_directories_closed_to_it(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "file").write_text("seen")
    code = "import os, sys; assert os.access(sys.argv[1], os.R_OK); print(os.geteuid(), open(sys.argv[1]).read())"
    root = os.geteuid() == 0
    process = Process(
        "trial",
        [sys.executable, "-I", "-S", "-c", code, str(closed / "file")],
        log_file=tmp_path / "log",
        uid=NOBODY if root else None,
        reach=root,
    )
    process.start()
    assert await process.wait() == 0, process.explain()
    assert process.log_file.read_text().split() == [str(NOBODY if root else os.geteuid()), "seen"]


async def test_missing_program_is_an_error_with_its_name(tmp_path: Path) -> None:
    process = Process("trial", [tmp_path / "nothing"], log_file=tmp_path / "log")
    process.start()
    assert await process.wait() == 126
    assert "nothing" in process.explain()


async def test_supervisor_restarts_what_dies_and_tells(tmp_path: Path) -> None:
    told: list[Restart] = []

    async def always() -> bool:
        return True

    supervised = Supervised(
        python("trial", "import time; time.sleep(60)", tmp_path), always, on_restart=told.append, stop_seconds=5
    )
    supervised.start()
    await supervised.wait_ready()
    first = supervised.pid
    await supervised.kill9()
    await supervised.wait_ready(budget_seconds=5)
    assert supervised.pid != first
    assert told == [Restart("trial", -signal.SIGKILL, 0.0, 1)]

    second = supervised.pid
    assert await supervised.restart() == -signal.SIGTERM
    await supervised.wait_ready(budget_seconds=5)
    assert supervised.pid != second
    assert supervised.restarts == 1

    await supervised.kill9(leave_dead=True)
    await remains(lambda: not supervised.running, for_seconds=0.2)
    with pytest.raises(StartError, match="start it"):
        await supervised.wait_ready(budget_seconds=1)
    supervised.start()
    await supervised.stop()
    assert not supervised.running
