"""An Update that comes after its alert has expired reaches everybody, whether the alert was sent or not."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from dotenv import dotenv_values

from broadcast.clock import utc_now
from tests.e2e.commands import Person, Printed, route_text
from tests.support.sender_setup import start_simulator
from tests.support.waiting import found_first

PEOPLE = 3
EXPIRY = timedelta(seconds=15)
WITHIN_SECONDS = 60.0


def instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S-00:00")


def alert(identifier: str, sent: datetime, expires: datetime, **changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "identifier": identifier,
        "sender": "harbour@example.org",
        "sent": instant(sent),
        "status": "Test",
        "msgType": "Alert",
        "scope": "Public",
        "groups": ["g0"],
        "info": [
            {
                "language": "en-GB",
                "category": ["Met"],
                "event": "Flood",
                "urgency": "Immediate",
                "severity": "Severe",
                "certainty": "Likely",
                # As in a watch: the hazard begins after the message has lapsed.
                "onset": instant(expires + timedelta(hours=22)),
                "expires": instant(expires),
                "headline": f"Flood warning {identifier}",
            }
        ],
    }
    return content | changes


class Publisher:
    """Publishes over HTTP with the key of the stack, and asks what became of it."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def publish(self, content: dict[str, Any]) -> str:
        answer = await self._http.post("/v1/alerts", json=content)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        alert_id: str = answer.json()["alert_id"]
        return alert_id

    async def until(self, alert_id: str, state: str, count: int = PEOPLE) -> dict[str, Any]:
        """The summary of an alert once so many recipients are in a state."""
        seen: dict[str, Any] = {}

        async def summary() -> dict[str, Any] | None:
            answer = await self._http.get(f"/v1/alerts/{alert_id}/summary")
            seen.update(answer.json())
            return seen if seen.get("counts", {}).get(state) == count else None

        try:
            return await found_first(summary, f"{count} {state}", within_seconds=WITHIN_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen}") from None

    async def until_over(self, expires: datetime) -> None:
        async def over() -> bool:
            return utc_now() > expires

        await found_first(over, "the alert has expired", within_seconds=WITHIN_SECONDS)

    async def update(self, identifier: str, before: str, sent: datetime) -> str:
        now = utc_now()
        reference = f"harbour@example.org,{before},{instant(sent)}"
        return await self.publish(
            alert(identifier, now, now + timedelta(hours=4), msgType="Update", references=reference)
        )


@pytest.mark.timeout(300)
async def test_everybody_gets_an_update_that_comes_after_the_end_of_an_alert_that_was_sent_or_was_not(
    tmp_path: Path,
) -> None:
    simulator = await start_simulator(tmp_path, 0, "--system-id", "tocsin")
    person = Person(tmp_path, BROADCAST_DATA_DIR=str(tmp_path / "data"))
    routes = person.work / "routes.toml"
    routes.write_text(route_text(simulator.port))
    process = await person.start("up", "--routes", routes)
    try:
        await Printed(process.stdout).until(lambda line: line.startswith("Ctrl-C"))
        rows = [f"P{number},+49150070000{number:02d},en,g0" for number in range(PEOPLE)]
        (person.work / "people.csv").write_text("\n".join(["id,phone,language,groups", *rows, ""]))
        await person.run("recipients", "import", "people.csv")
        stack = dotenv_values(tmp_path / "data" / "stack.env")
        headers = {"Authorization": f"Bearer {stack['BROADCAST_API_KEY']}"}
        async with httpx.AsyncClient(base_url=str(stack["BROADCAST_API_URL"]), headers=headers, timeout=30) as http:
            publisher = Publisher(http)

            sent = utc_now()
            first = await publisher.publish(alert("sent", sent, sent + EXPIRY))
            await publisher.until(first, "delivered")
            await publisher.until_over(sent + EXPIRY)
            update = await publisher.update("sent-longer", "sent", sent)
            await publisher.until(update, "delivered")

            await simulator.process.kill()
            sent = utc_now()
            first = await publisher.publish(alert("unsent", sent, sent + EXPIRY))
            summary = await publisher.until(first, "expired")
            assert summary["counts"]["delivered"] == 0
            simulator = await start_simulator(tmp_path, simulator.port, "--system-id", "tocsin")
            update = await publisher.update("unsent-longer", "unsent", sent)
            await publisher.until(update, "delivered")
            assert (await publisher.until(first, "expired"))["counts"]["delivered"] == 0
    finally:
        await person.end(process)
        await simulator.process.kill()
