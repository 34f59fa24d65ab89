"""The process that reads large documents: it costs nothing until then, and none of its faults is the API's."""

import os
import signal
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from operator import mul, truediv

import psutil
import pytest

from broadcast.alerts.documents import calls
from broadcast.alerts.documents.document import Submitted, Targets, read_document
from broadcast.api.documents import reading_process
from broadcast.api.documents.reading_process import ReadingProcess
from broadcast.api.problems import Problem
from broadcast.cap import AreaTable
from broadcast.errors import InputError
from broadcast.settings import Settings
from tests.support.hostile_clients import worst_documents
from tests.support.waiting import eventually

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
async def reader() -> AsyncIterator[ReadingProcess]:
    made = ReadingProcess()
    yield made
    await made.close()


async def test_it_starts_with_the_first_call_and_stays(reader: ReadingProcess) -> None:
    assert reader.pid is None
    assert await reader.call(os.getpid) == reader.pid != os.getpid()
    assert psutil.Process(reader.pid).nice() > psutil.Process().nice()
    assert await reader.call(os.getpid) == reader.pid


async def test_the_worst_legal_documents_are_read_within_its_memory_as_they_are_here(reader: ReadingProcess) -> None:
    for body in worst_documents():
        submitted = Submitted(body, True, "anna", Targets(("river",)), NOW)
        there = await reader.call(read_document, submitted, Settings())
        assert there.record.value
        assert there.entry.actor == "anna"
    assert psutil.Process(reader.pid).memory_info().vms < calls.MEMORY_BYTES / 2
    body = worst_documents()[3]
    submitted = Submitted(body, True, "anna", Targets(("river",)), NOW)
    assert await reader.call(read_document, submitted, Settings()) == read_document(submitted, Settings())


async def test_a_broken_rule_is_said_as_it_is_here(reader: ReadingProcess) -> None:
    submitted = Submitted(b"<alert/>", True, "anna", Targets(), NOW)
    with pytest.raises(InputError) as here:
        read_document(submitted, Settings())
    with pytest.raises(InputError) as there:
        await reader.call(read_document, submitted, Settings())
    assert (str(there.value), there.value.findings) == (str(here.value), here.value.findings)


async def test_a_fault_of_ours_ends_neither_of_them(reader: ReadingProcess) -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        await reader.call(truediv, 1, 0)
    before = reader.pid
    with pytest.raises(RuntimeError, match="MemoryError"):
        await reader.call(mul, b"x", calls.MEMORY_BYTES)
    assert await reader.call(os.getpid) == before


async def test_a_crash_and_a_time_out_are_told_and_the_next_document_is_read(
    reader: ReadingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Problem, match="smaller") as caught:
        await reader.call(os._exit, 3)
    assert int(caught.value.status) == 503
    assert await reader.call(truediv, 1, 2) == 0.5
    before = reader.pid
    assert before is not None
    monkeypatch.setattr(reading_process, "READ_SECONDS", 0.2)
    with pytest.raises(Problem, match=r"within 0\.2 s"):
        await reader.call(time.sleep, 60)
    assert not psutil.pid_exists(before)
    monkeypatch.undo()
    assert await reader.call(truediv, 1, 2) == 0.5


async def test_one_that_was_killed_between_two_documents_is_replaced(reader: ReadingProcess) -> None:
    before = await reader.call(os.getpid)
    os.kill(before, signal.SIGKILL)

    async def gone() -> bool:
        return not psutil.pid_exists(before)

    await eventually(gone, "the killed process is gone", within_seconds=10)
    assert await reader.call(os.getpid) != before


async def test_it_ends_when_nobody_calls_any_more(reader: ReadingProcess) -> None:
    pid = await reader.call(os.getpid)
    process = psutil.Process(pid)
    process.send_signal(signal.SIGINT)
    assert await reader.call(os.getpid) == pid
    assert reader._process is not None
    assert reader._process.stdin is not None
    reader._process.stdin.close()
    assert await reader._process.wait() == 0


async def test_the_table_of_areas_goes_there_once_until_it_changes(reader: ReadingProcess) -> None:
    writer = calls.CallWriter()
    for group in ("river", "sea"):
        table = AreaTable({(str(number), "b"): (group,) for number in range(100)})
        first, second = (writer.write((getattr, table, "groups"), table) for _ in range(2))
        assert len(first) > 1_000 > len(second)
        for _ in range(2):
            assert await reader.call(getattr, table, "groups", areas=table) == table.groups
