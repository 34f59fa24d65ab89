"""`broadcast demo`: the main job by one command, and what an interrupt leaves behind: nothing."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from broadcast.stages import STAGES, arguments_of
from tests.e2e.commands import Person, names_of, unused_memory

RECIPIENTS = 500
DEMO_SECONDS = 90.0
STARTED_SECONDS = 60.0
INTERRUPT_SECONDS = 40.0
PROFILE_SECONDS = 240.0


async def test_demo_accounts_for_everybody(tmp_path: Path) -> None:
    person = Person(tmp_path)
    unused_before = unused_memory()
    process = await person.start("demo", "--recipients", str(RECIPIENTS), "--json", "--data-dir", tmp_path / "data")
    try:
        async with asyncio.timeout(DEMO_SECONDS):
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        found = json.loads(out)  # one object and nothing else
        assert found["ok"] is True
        assert found["audience"] == RECIPIENTS
        assert found["states"]["delivered"] == RECIPIENTS
        assert found["simulator"] == {"missing": 0, "unexpected": 0, "repeated": 0}
        assert {"publish alert", "reach every recipient", "reconcile"} <= {step["step"] for step in found["steps"]}
        await person.check_gone()
        assert names_of(person.work.iterdir()) == []
        assert names_of(tmp_path.iterdir()) == ["data", "tmp", "work"]
        assert unused_memory() <= unused_before
    finally:
        await person.end(process)


async def test_interrupted_demo_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C when the stages run; without --data-dir the data go too."""
    person = Person(tmp_path)
    process = await person.start("demo", "--recipients", "200000", "--json")
    try:
        async with asyncio.timeout(STARTED_SECONDS):
            while not all(
                any(arguments_of(stage)[-1] in words for words in person.command_lines()) for stage in STAGES
            ):
                await asyncio.sleep(0.05)
        assert names_of(person.temporary.iterdir()) != []
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(INTERRUPT_SECONDS):
            out, _ = await process.communicate()
        assert process.returncode == 130
        assert out == b""
        await person.check_gone()
        assert names_of(person.work.iterdir()) == []
    finally:
        await person.end(process)


@pytest.mark.timeout(PROFILE_SECONDS + 30)
async def test_a_demo_with_a_slow_smsc_reaches_everybody_once_and_leaves_nothing_unknown(tmp_path: Path) -> None:
    """One answer in a hundred comes after 40 s, and the others out of order."""
    person = Person(tmp_path)
    process = await person.start("demo", "--recipients", "300", "--json", "--profile", "slow")
    try:
        async with asyncio.timeout(PROFILE_SECONDS):
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        found = json.loads(out)
        assert {state: count for state, count in found["states"].items() if count} == {"delivered": 300}
        assert found["simulator"] == {"missing": 0, "unexpected": 0, "repeated": 0}
        assert (found["ended"], found["violations"], found["possible_duplicates"]) == (None, {}, 0)
    finally:
        await person.end(process)


@pytest.mark.timeout(PROFILE_SECONDS + 30)
async def test_a_kept_demo_with_all_faults_at_once_tells_its_result_before_it_waits(tmp_path: Path) -> None:
    person = Person(tmp_path)
    process = await person.start("demo", "--recipients", "300", "--json", "--keep", "--profile", "hostile")
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PROFILE_SECONDS):
            found = json.loads(await process.stdout.readline())
        check_profiled(found)
        assert (found["simulator"]["missing"], found["ended"]) == (0, None)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(INTERRUPT_SECONDS):
            out, err = await process.communicate()
        assert (process.returncode, out) == (130, b"")
        assert b"broadcast audit summary" in err
        await person.check_gone()
    finally:
        await person.end(process)


@pytest.mark.timeout(PROFILE_SECONDS + 30)
async def test_a_demo_whose_smsc_is_not_there_ends_and_tells_what_happened(tmp_path: Path) -> None:
    person = Person(tmp_path)
    process = await person.start("demo", "--recipients", "300", "--json", "--profile", "dead")
    try:
        async with asyncio.timeout(PROFILE_SECONDS):
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        found = json.loads(out)
        check_profiled(found)
        assert found["simulator"]["missing"] != 0
        assert found["ended"] is not None
        assert "nobody of 300 recipients got the message" in found["statements"]
        assert any("Connection refused" in statement for statement in found["statements"])
    finally:
        await person.end(process)


def check_profiled(found: dict[str, Any]) -> None:
    """Whatever the SMSC does: the sums are right, and we violate nothing."""
    assert (found["ok"], found["gap"], sum(found["states"].values())) == (True, 0, 300)
    assert (found["audience"], found["violations"]) == (300, {})
    assert found["simulator"]["unexpected"] == 0
    assert found["simulator"]["repeated"] <= found["possible_duplicates"]
