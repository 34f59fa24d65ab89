"""An account that does not come up: what `up`, `/readyz`, the alarms and `watch` say, and that all of it ends."""

import asyncio
import json
import re
import signal
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import httpx
import pytest

from broadcast.cap import read_cap, write_cap
from tests.e2e.commands import ROOT, TOLD_SECONDS, Person, Printed, route_text, sender_report
from tests.support.sender_setup import start_simulator
from tests.support.waiting import found_first

REFUSED = "refused the bind of tocsin: ESME_RINVPASWD: the password is not valid; next try at "


def routes_text(port: int, password: str) -> str:
    return route_text(port, name="national", of_account=f'password = "{password}"')


@pytest.mark.timeout(240)
async def test_a_wrong_password_is_named_with_account_reason_and_next_try_wherever_an_operator_looks(
    tmp_path: Path,
) -> None:
    """smpp: bind failures: RINVPASWD backs off long, and is an alarm."""
    simulator = await start_simulator(tmp_path, 0, "--system-id", "tocsin", "--password", "right")
    person = Person(tmp_path, BROADCAST_DATA_DIR=str(tmp_path / "data"))
    routes = person.work / "routes.toml"
    routes.write_text(routes_text(simulator.port, "wrong"))
    process: Process = await person.start("up", "--routes", routes)
    out, err = Printed(process.stdout), Printed(process.stderr)
    try:
        await out.until(lambda line: line.startswith("Ctrl-C"))
        line = await err.until(lambda line: "account operator" in line)
        assert REFUSED in line
        assert re.search(r"✗ [0-2][0-9]:[0-5][0-9]:[0-5][0-9] UTC account operator: ", line)
        [simulator_line] = [line for line in out.lines if line.startswith("simulator")]
        assert "not started" in simulator_line, "no account of the file leads to the simulator"

        status, report = await sender_report(out)
        assert status == httpx.codes.SERVICE_UNAVAILABLE
        assert REFUSED in report["holds"]["account operator"]
        assert "tocsin_ready" in (await ready_metric(out))

        async def alarms(*words: str) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = await person.ask("alarms", "list", "--json", *words)
            return found

        [alarm] = await found_first(alarms, "an alarm", within_seconds=TOLD_SECONDS)
        assert (alarm["kind"], alarm["subject"].split(",")[0]) == ("bind_down", "operator")
        assert REFUSED in alarm["detail"]

        (person.work / "people.csv").write_text("id,phone,language,groups\nP1,+4915007000001,en,g0\n")
        await person.run("recipients", "import", "people.csv")
        alert, _ = read_cap((ROOT / "examples" / "flood.xml").read_bytes())
        (person.work / "alert.xml").write_bytes(write_cap(alert.model_copy(update={"addresses": "g0"})))
        published = await person.ask("alert", "publish", "alert.xml", "--now", "--json")
        watching = await person.start("alert", "watch", published["alert_id"], "--json")
        watched = Printed(watching.stdout)
        told = json.loads(await watched.until(lambda line: '"bind_down"' in line))
        assert told["counts"]["queued"] >= 1
        assert REFUSED in told["unusable_accounts"][0]["detail"]

        unsent = await person.ask("test-send", "+4915007000002", "--wait", "1", "--json", code=1)
        assert unsent["state"] == "queued"
        assert REFUSED in unsent["unusable_accounts"][0]["detail"]
        assert "broadcast alarms list" in unsent["next_step"]
        assert " UTC: do not send it again" in unsent["next_step"]

        # A file with a fault is refused, and `up` says where and why, each time.
        routes.write_text(routes_text(0, "right"))
        process.send_signal(signal.SIGHUP)
        assert f"{routes}:9: route 'national', account 'operator': port = 0: must be at least 1" in await err.until(
            lambda line: "routes: file refused at" in line
        )
        routes.write_text(routes_text(simulator.port, "right").replace('"+"', '"+4"'))
        process.send_signal(signal.SIGHUP)
        assert f"{routes}:4: route 'national': prefixes: cannot change" in await err.until(
            lambda line: "routes: file refused at" in line
        )

        # A person corrects the password, and has the routes read again.
        routes.write_text(routes_text(simulator.port, "right"))
        process.send_signal(signal.SIGHUP)
        for words in ("routes: in order again", "accounts: operator", "account operator: in order again"):
            await err.until_said(words)
        assert (await sender_report(out))[0] == httpx.codes.OK
        async with asyncio.timeout(TOLD_SECONDS):
            while await alarms():
                await asyncio.sleep(0.2)
        [ended] = [one for one in await alarms("--all") if one["kind"] == "bind_down"]
        assert ended["cleared_by"] == "sender"
        async with asyncio.timeout(TOLD_SECONDS):
            assert await watching.wait() == 0
        sent = await person.ask("test-send", "+4915007000003", "--account", "operator", "--json")
        answer, receipt = sent["attempts"]
        assert (sent["state"], answer["account"], answer["outcome"]) == ("delivered", "operator", "accepted")
        assert answer["message_id"] == receipt["message_id"]
        assert (sent["account"], answer["bind"]) == ("operator", "0")
        assert sent["meaning"] == "SIMULATED: a simulator has taken it, and no phone was reached"
        assert process.returncode is None
    finally:
        await person.end(process)
        await simulator.process.kill()


async def ready_metric(printed: Printed) -> str:
    """The series of readiness of the sender."""
    [url] = [line.split()[1] for line in printed.lines if line.endswith("/metrics (sender)\n")]
    async with httpx.AsyncClient() as http:
        text = (await http.get(url)).text
    return "".join(line for line in text.splitlines() if line == 'tocsin_ready{stage="sender"} 0.0')
