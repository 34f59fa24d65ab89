"""A stack for the fault tests, shared by modules with an equal `SYSTEM`; the report at the end of the run."""

import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio

from tests.fault import report
from tests.fault.system import SystemUnderTest, open_system

SEED_VARIABLE = "FAULT_SEED"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test the stack that its module asks for."""
    wanted = getattr(metafunc.module, "SYSTEM", None)
    if wanted is not None and "system" in metafunc.fixturenames:
        scope = _scope_of_stack("system", metafunc.config)
        metafunc.parametrize("system", [wanted], ids=[wanted.name], indirect=True, scope=scope)


def _scope_of_stack(fixture_name: str, config: pytest.Config) -> Literal["module", "session"]:
    """The session; but a worker among several ends a stack with its module, for it may have no other and runs idle."""
    return "module" if hasattr(config, "workerinput") else "session"


@pytest_asyncio.fixture(scope=_scope_of_stack, loop_scope="session")
async def system(request: pytest.FixtureRequest) -> AsyncIterator[SystemUnderTest]:
    """A stack, ready. Its directory stays, and is named, when one of its tests has failed."""
    directory = Path(tempfile.mkdtemp(prefix="tocsin-fault-"))
    failed_before = request.session.testsfailed
    try:
        async with open_system(directory / "data", request.param) as opened:
            yield opened
    finally:
        if request.session.testsfailed > failed_before:
            print(f"\nlogs and data of the failed tests: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def seed() -> int:
    """The seed of this test's chances, printed; FAULT_SEED in the environment repeats a run."""
    chosen = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().getrandbits(32))
    print(f"\n{SEED_VARIABLE}={chosen}")
    return chosen


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist hands its entries to whoever prints them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["faults"] = [asdict(entry) for entry in report.entries]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker found."""
    report.entries += [report.Entry(**entry) for entry in getattr(node, "workeroutput", {}).get("faults", ())]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the report's table, and write it if it is of the long form."""
    if report.entries:
        terminalreporter.section("faults")
        for line in report.table():
            terminalreporter.write_line(line)
        if (file := report.write()) is not None:
            terminalreporter.write_line(f"written to {file}")
