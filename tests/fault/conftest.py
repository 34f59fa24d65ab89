"""A stack for the fault tests, shared by modules in turn with an equal `SYSTEM`; the report at the end of the run."""

import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from xdist.scheduler import LoadFileScheduling

from tests.fault import report
from tests.fault.system import COMMON, SystemOptions, SystemUnderTest, open_system

SEED_VARIABLE = "FAULT_SEED"
STUCK_SECONDS = 360


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test the stack that its module asks for."""
    wanted = getattr(metafunc.module, "SYSTEM", None)
    if wanted is not None and "system" in metafunc.fixturenames:
        metafunc.parametrize("system", [wanted], ids=[wanted.name], indirect=True, scope="module")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Beside other tests a start of a stack or of Kafka takes up to 60 s, and the budgets in the tests up to 120 s."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(STUCK_SECONDS))


class StackScheduling(LoadFileScheduling):
    """Each file to one worker, and all files with the common stack to the same, for a stack takes 20 s of a core."""

    def _split_scope(self, nodeid: str) -> str:
        return COMMON.name if f"[{COMMON.name}" in nodeid else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> StackScheduling | None:
    """For `--dist loadfile`."""
    return StackScheduling(config, log) if config.getoption("dist") == "loadfile" else None


class Stacks:
    """The stack that is open, if any: the one that the last test with a stack used."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self._open = AsyncExitStack()
        self._options: SystemOptions | None = None
        self._system: SystemUnderTest | None = None

    async def take(self, options: SystemOptions) -> SystemUnderTest:
        """A stack with these options, ready."""
        if self._system is None or options != self._options:
            await self.close()
            self._options, self._system = options, await self._open.enter_async_context(self._start(options))
        return self._system

    async def close(self) -> None:
        """End the stack that is open."""
        self._system = None
        await self._open.aclose()

    @asynccontextmanager
    async def _start(self, options: SystemOptions) -> AsyncIterator[SystemUnderTest]:
        """Its directory stays, and is named, when one of its tests has failed."""
        directory = Path(tempfile.mkdtemp(prefix="tocsin-fault-"))
        failed_before = self._session.testsfailed
        try:
            async with open_system(directory / "data", options) as opened:
                yield opened
        finally:
            if self._session.testsfailed > failed_before:
                print(f"\nlogs and data of the failed tests: {directory}")
            else:
                shutil.rmtree(directory, ignore_errors=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stacks(request: pytest.FixtureRequest) -> AsyncIterator[Stacks]:
    """None is left open at the end, however the run ends."""
    opened = Stacks(request.session)
    yield opened
    await opened.close()


NEXT = pytest.StashKey[SystemOptions | None]()
"""What stack the next test asks for."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Note what stack the next test asks for."""
    item.session.stash[NEXT] = getattr(getattr(nextitem, "module", None), "SYSTEM", None)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(request: pytest.FixtureRequest, stacks: Stacks) -> AsyncIterator[SystemUnderTest]:
    """A stack, ready; that of the module before if it is the same. It ends when the next test needs another or none."""
    yield await stacks.take(request.param)
    if request.session.stash[NEXT] != request.param:
        await stacks.close()


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
