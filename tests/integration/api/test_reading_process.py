"""The process that reads large documents: it costs nothing until then, and none of its faults is the API's."""

import json
import os
import signal
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from operator import mul, truediv
from pathlib import Path
from typing import Any

import psutil
import pytest

from broadcast.alerts.documents import calls
from broadcast.alerts.documents.area_tables import BYTES_MAX, FILE_RULE
from broadcast.alerts.documents.document import Submitted, Targets, read_document
from broadcast.api.documents import ReadingTurns, areas_file_of, read_submitted, reading_process
from broadcast.api.documents.reading_process import ReadingProcess
from broadcast.api.problems import Problem
from broadcast.errors import InputError
from broadcast.settings import Settings
from tests.support.hostile_clients import worst_documents
from tests.support.waiting import eventually

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def by_area(area: dict[str, Any]) -> bytes:
    info = {"category": ["Met"], "event": "F", "urgency": "Past", "severity": "Minor", "certainty": "Likely"}
    names = {"identifier": "i", "sender": "s", "sent": "2026-11-27T11:00:00-00:00"}
    states = {"status": "Test", "msgType": "Alert", "scope": "Public"}
    return json.dumps(names | states | {"info": [info | {"area": [area]}]}).encode()


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


async def test_the_largest_table_of_areas_is_read_there_and_costs_the_loop_nothing(
    reader: ReadingProcess, tmp_path: Path
) -> None:
    table = tmp_path / "areas.csv"
    rows = BYTES_MAX // len("SAME,000000,river\n") - 2
    table.write_text("name,value,group\n" + "".join(f"SAME,{number:06},river\n" for number in range(rows)))
    turns, settings = ReadingTurns(reader), Settings(areas_file=table)
    area = {"areaDesc": "a", "geocode": [{"valueName": "same", "value": f"{rows - 1:06}"}]}
    submitted = Submitted(by_area(area), False, "anna", Targets(areas_file=areas_file_of(settings)), NOW)
    began = time.thread_time()
    first = await read_submitted(submitted, turns=turns, settings=settings)
    assert time.thread_time() - began < 0.02
    assert (first.groups, [each.rule for each in first.warnings]) == (("river",), ["R8"])
    table.write_text("name,value,group\nSAME,1\n")
    kept = await read_submitted(submitted, turns=turns, settings=settings)
    assert kept.groups == ("river",)
    assert [each.message for each in kept.warnings if each.rule == FILE_RULE and "line 2: must hold" in each.message]
    table.write_text(f"name,value,group\nSAME,{rows - 1:06},sea\n")
    assert (await read_submitted(submitted, turns=turns, settings=settings)).groups == ("sea",)


async def test_a_table_of_areas_that_was_never_read_is_said_to_be_away(reader: ReadingProcess, tmp_path: Path) -> None:
    table = tmp_path / "areas.csv"
    turns, settings = ReadingTurns(reader), Settings(areas_file=table)
    submitted = Submitted(by_area({"areaDesc": "a"}), False, "anna", Targets(areas_file=table), NOW)
    with pytest.raises(Problem, match="No such file") as absent:
        await read_submitted(submitted, turns=turns, settings=settings)
    table.write_bytes(b"name,value,group\n" + b"\n" * BYTES_MAX)
    with pytest.raises(Problem, match=f"more than {BYTES_MAX}") as large:
        await read_submitted(submitted, turns=turns, settings=settings)
    assert [(int(each.value.status), each.value.slug) for each in (absent, large)] == [(503, "areas-unavailable")] * 2
