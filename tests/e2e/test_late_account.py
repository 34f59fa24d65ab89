"""Accounts whose SMSC answers late, or not at all: what `up`, `/readyz`, the alarms and `watch` say, and until when."""

import asyncio
import json
import signal
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from broadcast.cap import read_cap, write_cap
from tests.e2e.commands import ROOT, TOLD_SECONDS, Person, Printed, route_text, sender_report
from tests.support.sender_setup import start_simulator
from tests.support.waiting import found_first

PEOPLE = {"+4915007": 60, "+4915008": 20}
"""Recipients by the prefix of their route."""
DELAYS = "delays_seconds = [5, 30]"


def routes_text(slow: int, mute: int, seconds: int) -> str:
    """Routes of two simulators; `seconds` are what the account of the slow one is waited for."""
    budget = "response_timeout_seconds = {}"
    return route_text(
        slow, name="slowly", prefix="+4915007", account="slow-1", of_route=DELAYS, of_account=budget.format(seconds)
    ) + route_text(
        mute, name="silently", prefix="+4915008", account="mute-1", of_route=DELAYS, of_account=budget.format(8)
    )


@pytest.mark.timeout(240)
async def test_late_answers_and_silence_are_one_alarm_each_wherever_an_operator_looks_until_they_are_over(
    tmp_path: Path,
) -> None:
    slow = await start_simulator(tmp_path, 0, "--profile", "slow", "--system-id", "tocsin")
    mute = await start_simulator(tmp_path, 0, "--profile", "mute", "--system-id", "tocsin")
    person = Person(tmp_path, BROADCAST_DATA_DIR=str(tmp_path / "data"))
    routes = person.work / "routes.toml"
    routes.write_text(routes_text(slow.port, mute.port, 1))
    process: Process = await person.start("up", "--routes", routes)
    out, err = Printed(process.stdout), Printed(process.stderr)
    try:
        await out.until(lambda line: line.startswith("Ctrl-C"))
        numbers = [f"{prefix}{number:06d}" for prefix, count in PEOPLE.items() for number in range(count)]
        rows = [f"P{row},{number},en,g0" for row, number in enumerate(numbers)]
        (person.work / "people.csv").write_text("\n".join(["id,phone,language,groups", *rows, ""]))
        await person.run("recipients", "import", "people.csv")
        alert, _ = read_cap((ROOT / "examples" / "flood.xml").read_bytes())
        (person.work / "alert.xml").write_bytes(write_cap(alert.model_copy(update={"addresses": "g0"})))
        published = await person.ask("alert", "publish", "alert.xml", "--now", "--json")
        watching = await person.start("alert", "watch", published["alert_id"], "--json")
        watched = Printed(watching.stdout)

        async def alarms(subject: str) -> list[dict[str, Any]]:
            found = await person.ask("alarms", "list", "--json", "--all")
            return [one for one in found if one["kind"] == "account_late" and one["subject"].startswith(subject)]

        # Silence: before the session counts as mute.
        await err.until_said("account mute-1: has answered none of 20 submits for")
        _, report = await sender_report(out)
        assert "has answered none of 20 submits" in json.dumps(report)
        told = json.loads(await watched.until(lambda line: "has answered none" in line))
        assert told["counts"]["queued"] >= PEOPLE["+4915008"]
        [queued] = [each for each in told["queued_routes"] if each["route"] == "silently"]
        assert (queued["prefixes"], queued["accounts"]) == (["+4915008"], ["mute-1"])
        assert queued["queued"] == PEOPLE["+4915008"]
        [silence] = await alarms("mute-1")
        assert "has answered none of 20 submits" in silence["detail"]

        # Late answers: the alarm names the setting that ends it.
        [late] = await found_first(lambda: alarms("slow-1"), "an alarm", within_seconds=TOLD_SECONDS)
        assert "answers came after response_timeout_seconds (1 s)" in late["detail"]
        assert late["cleared_at"] is None
        await err.until_said("account slow-1: answers late")
        _, report = await sender_report(out)
        assert "answers late" in report["degraded"]["account slow-1"]
        routes.write_text(routes_text(slow.port, mute.port, 60))
        process.send_signal(signal.SIGHUP)
        await err.until_said("account slow-1: in order again")

        async def all_cleared() -> bool:
            return all(one["cleared_at"] for one in [*await alarms("slow-1"), *await alarms("mute-1")])

        await found_first(all_cleared, "late answers and silence are over", within_seconds=TOLD_SECONDS)
        # The session of the mute account is closed, and another alarm says so; a probe of it raises none anew.
        await err.until_said("account mute-1: gets no work but a probe now and then")
        await asyncio.sleep(10)
        assert len(await alarms("slow-1")) == len(await alarms("mute-1")) == 1, "raised once"
        assert {one["cleared_by"] for one in [*await alarms("slow-1"), *await alarms("mute-1")]} == {"sender"}
        with suppress(ProcessLookupError):
            watching.terminate()
        await watching.wait()
        assert process.returncode is None
    finally:
        await person.end(process)
        for simulator in (slow, mute):
            await simulator.process.kill()
