"""A full disk: what is accepted is sent once, what cannot be kept is refused, and the stack recovers by itself."""

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.e2e.commands import Person
from tests.e2e.test_up import GROUP_SIZE, GROUPS, alert_for, client, post, reached, up, write_recipients
from tests.fault import report

pytestmark = pytest.mark.long

SIZE = "900m"
RECOVERY_SECONDS = 120.0
REFUSED_SECONDS = 60.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own; skipped where this user may not mount one."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", path], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a file system: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill(file: Path) -> None:
    """Write until there is no room for one octet more."""
    with file.open("wb", buffering=0) as out:
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while out.write(b"x" * size):
                    pass


def senders(person: Person) -> set[int]:
    """The process ids of the senders that run."""
    return {process.pid for process in person.processes() if process.cmdline()[-2:] == ["streams", "sender"]}


async def submits_of(simulator: str) -> Counter[str]:
    """How often each number was submitted, by the simulator's own count."""
    async with httpx.AsyncClient(timeout=10.0, trust_env=False) as http:
        lines = (await http.get(f"{simulator}/numbers")).text.splitlines()
    return Counter({number: int(count) for number, count in map(str.split, lines)})


@pytest.mark.timeout(420)
async def test_a_full_disk_loses_nothing_that_was_accepted(tmp_path: Path, disk: Path) -> None:
    began = time.monotonic()
    data, filling = disk / "data", disk / "filling"
    person = Person(tmp_path, BROADCAST_DATA_DIR=str(data))
    async with up(person, data) as addresses, client(addresses) as api:
        write_recipients(person.work / "people.csv")
        await person.run("recipients", "import", "people.csv", code=3)
        first = await post(api, alert_for("g0", "DISK-BEFORE"))
        await reached(api, first, GROUP_SIZE)
        accepted = {first: 0}
        before = senders(person)
        fill(filling)
        async with asyncio.timeout(REFUSED_SECONDS):
            for number in range(1_000):
                refused = alert_for("g1", f"DISK-FULL-{number}")
                try:
                    accepted[await post(api, refused)] = 1
                except (AssertionError, httpx.TransportError):
                    break
                await asyncio.sleep(0.5)
        filling.unlink()
        # The caller repeats what was not accepted.
        for alert, group in ((refused, 1), (alert_for("g2", "DISK-AFTER"), 2)):
            async with asyncio.timeout(RECOVERY_SECONDS):
                while True:
                    try:
                        accepted[await post(api, alert)] = group
                        break
                    except (AssertionError, httpx.TransportError):
                        await asyncio.sleep(1.0)
        wanted, marked = Counter[int](), Counter[int]()
        for alert_id, group in accepted.items():
            summary = await reached(api, alert_id, GROUP_SIZE)
            assert (summary["audience"], summary["gap"]) == (GROUP_SIZE, 0)
            wanted[group] += 1
            marked[group] += summary["possible_duplicates"]
        submits = await submits_of(addresses["simulator"])
        for group in wanted:
            counts = [submits[f"4915007{n:06d}"] for n in range(group, GROUPS * GROUP_SIZE, GROUPS)]
            assert min(counts) >= wanted[group]
            assert sum(counts) - wanted[group] * GROUP_SIZE <= marked[group]
        # A sender that cannot commit what it did ends; the next one marks what it may have sent.
        assert not marked.total() or senders(person) != before
        assert marked[0] == 0
        found = await person.ask("audit", "verify", "--json")
        assert found["sound"]
    report.add(
        report.Entry(
            test="full disk",
            recipients=GROUP_SIZE * len(accepted),
            duplicates=submits.total() - GROUP_SIZE * len(accepted),
            marked=marked.total(),
            seconds=round(time.monotonic() - began, 1),
            note=f"{len(accepted)} alerts accepted, each to everyone in its group",
            long=True,
        )
    )
