"""Three alerts that reach nobody: all refused, all undelivered, no receipts. Each is an alarm within a minute."""

from pathlib import Path
from typing import Any

import pytest

from broadcast.cap import read_cap, write_cap
from broadcast.clock import monotonic
from tests.e2e.commands import ROOT, Person, Printed, route_text
from tests.support.sender_setup import start_simulator
from tests.support.waiting import found_first

PROFILE = """
[[rules]]
prefixes = ["4915001"]
answer.status = "RINVDSTADR"

[[rules]]
prefixes = ["4915002"]
receipt = { state = "UNDELIVERABLE", error = "011" }

[[rules]]
prefixes = ["4915003"]
receipt.times = 0
"""
PEOPLE = 120
SAID = {
    "+4915001": ("120 of 120 submits were refused, not sent or reported undelivered", "refused: ESME_RINVDSTADR 120"),
    "+4915002": ("120 of 120 submits were refused, not sent or reported undelivered", "error 011 120"),
    "+4915003": ("120 of 120 submits have no receipt that says delivered after 5 s", "120 have none at all"),
}
"""What the alarm says, by the prefix of the alert's numbers."""
WITHIN_SECONDS = 60.0


@pytest.mark.timeout(240)
async def test_an_alert_that_reaches_nobody_is_an_alarm_within_a_minute_that_says_why(tmp_path: Path) -> None:
    profile = tmp_path / "profile.toml"
    profile.write_text(PROFILE)
    simulator = await start_simulator(tmp_path, 0, "--profile", str(profile), "--system-id", "tocsin")
    # The bound of the third alarm is the setting; the others do not depend on it.
    person = Person(tmp_path, BROADCAST_DATA_DIR=str(tmp_path / "data"), BROADCAST_RECEIPT_WAIT_SECONDS="5")
    routes = person.work / "routes.toml"
    routes.write_text(route_text(simulator.port))
    process = await person.start("up", "--routes", routes)
    try:
        await Printed(process.stdout).until(lambda line: line.startswith("Ctrl-C"))
        rows = [
            f"{prefix}-{number},{prefix}{number:06d},en,g{prefix[1:]}" for prefix in SAID for number in range(PEOPLE)
        ]
        (person.work / "people.csv").write_text("\n".join(["id,phone,language,groups", *rows, ""]))
        await person.run("recipients", "import", "people.csv")
        flood, _ = read_cap((ROOT / "examples" / "flood.xml").read_bytes())
        alert_ids = {}
        for prefix in SAID:
            alert = flood.model_copy(update={"addresses": f"g{prefix[1:]}"})
            (person.work / "alert.xml").write_bytes(write_cap(alert))
            published = await person.ask("alert", "publish", "alert.xml", "--now", "--json")
            alert_ids[prefix] = published["alert_id"]
        began_at = monotonic()

        async def alarms() -> dict[str, str] | None:
            found = await person.ask("alarms", "list", "--json")
            told = {one["subject"]: one["detail"] for one in found if one["kind"] == "alert_failing"}
            complete = all(each in told.get(alert_ids[prefix], "") for prefix, words in SAID.items() for each in words)
            return told if complete else None

        told = await found_first(alarms, "three alarms", within_seconds=WITHIN_SECONDS)
        print(f"all three alarms after {monotonic() - began_at:.1f} s")
        for alert_id in alert_ids.values():
            assert "0 of 120 recipients are reached" in told[alert_id]
            assert "Accounts: operator 120" in told[alert_id]
        shown: list[dict[str, Any]] = [await person.ask("alert", "show", one, "--json") for one in alert_ids.values()]
        assert {(alert["audience"], alert["reached"]) for alert in shown} == {(PEOPLE, 0)}
    finally:
        await person.end(process)
        await simulator.process.kill()
