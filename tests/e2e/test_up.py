"""A day with `broadcast up`: every way to publish, a stop in flight, the audit's commands, and the same data again.

The second start is from a shell that has read the addresses of the first one.
"""

import asyncio
import json
import re
import signal
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from broadcast.cap import freshen, read_cap, write_cap
from schemas.alert import Alert, Status, write_alert
from tests.e2e.commands import ROOT, Person

GROUPS = 5
GROUP_SIZE = 40
CROWD = 3_000
UP_SECONDS = 60.0
STOP_SECONDS = 40.0
REACH_SECONDS = 60.0
ODD_PATH = Path("Kreis A, Amt 32 = 100 %") / 'Übung $x; "#' / ("n" * 200)
"""What Kafka's list of directories, properties, a shell, the JVM and PostgreSQL might each read in their own way."""
ODD_ENVIRONMENT = {"LANG": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"}
PROXIES = {
    "http_proxy": "http://127.0.0.1:1",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "ALL_PROXY": "socks5://127.0.0.1:1",
    "no_proxy": "[::1]",
}
"""Of a machine behind a proxy. The download of the jars, at the first start, may need the real ones."""
SLOW = {"delay_ms": 200.0}
"""With a window of 64 this makes about 300 messages a second."""
STOP_BUDGET_SECONDS = 1.0
MISHAPS = {
    "tocsin_deadletters_messages",
    "tocsin_receipts_unreadable_total",
    "tocsin_sender_alarms_total",
}
"""Series that appear with the first of their kind."""
VERIFIED = "tocsin_audit_chain_verified_timestamp_seconds"
LATER = {"tocsin_account_unreached_ratio", VERIFIED}
"""Series that appear when messages are old enough to be assessed, and when somebody has verified the audit."""


@asynccontextmanager
async def up(person: Person, data: Path) -> AsyncIterator[dict[str, Any]]:
    """`broadcast up` until the block is left, then Ctrl-C; its addresses."""
    process: Process = await person.start("up", "--json", "--data-dir", data)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(UP_SECONDS):
            line = await process.stdout.readline()
        assert line, await process.stderr.read() if process.stderr else b""
        yield json.loads(line)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOP_SECONDS):
            await process.communicate()
        assert process.returncode == 0
        await person.check_gone()
    finally:
        await person.end(process)


def alert_for(group: str, identifier: str) -> Alert:
    """The flood of `examples/` as of now, for one group."""
    alert, _ = read_cap((ROOT / "examples" / "flood.xml").read_bytes())
    return freshen(alert, identifier, datetime.now(UTC), 3600).model_copy(update={"addresses": group})


def read_stack_file(person: Person, data: Path) -> None:
    """`set -a; . data/stack.env; set +a`: the shell keeps the addresses after the stop."""
    lines = (data / "stack.env").read_text().splitlines()
    pairs = [line.partition("=") for line in lines]
    person.environment |= {name: value.strip("'") for name, _, value in pairs}
    assert {"BROADCAST_DATABASE_URL", "BROADCAST_KAFKA_BOOTSTRAP"} <= person.environment.keys()


def write_recipients(file: Path) -> None:
    """Small groups `g0` to `g4`, a crowd, and a line that cannot be read."""
    lines = [f"P{n},+4915007{n:06d},de,g{n % GROUPS}" for n in range(GROUPS * GROUP_SIZE)]
    lines += [f"C{n},+4915008{n:06d},en,crowd" for n in range(CROWD)]
    file.write_text("\n".join(["id,phone,language,groups", *lines, "bad,12,en,g0", ""]))


async def reached(api: httpx.AsyncClient, alert_id: str, audience: int) -> dict[str, Any]:
    """The summary, once everybody is delivered."""
    summary: dict[str, Any] = {}
    async with asyncio.timeout(REACH_SECONDS):
        while summary.get("counts", {}).get("delivered") != audience:
            await asyncio.sleep(0.1)
            answer = await api.get(f"/v1/alerts/{alert_id}/summary")
            summary = answer.json() if answer.is_success else {}
    return summary


@pytest.mark.timeout(360)
async def test_a_day_with_the_stack(tmp_path: Path) -> None:
    data = tmp_path / ODD_PATH
    person = Person(tmp_path, BROADCAST_DATA_DIR=str(data), **ODD_ENVIRONMENT)
    async with up(person, data) as addresses:
        person.environment |= PROXIES
        async with client(addresses) as api:
            write_recipients(person.work / "people.csv")
            await person.run("recipients", "import", "people.csv", code=3)
            published = await publish_each_way(person, addresses, api)
            for alert_id in published:
                await reached(api, alert_id, GROUP_SIZE)
            cancelled = await cancel_in_flight(person, addresses, api)
            await check_statuses(addresses, len(published) * GROUP_SIZE)
            await check_metrics(addresses["metrics"])
        await check_audit(person, published[0])
        before = await person.ask("audit", "verify", "--json")
        read_stack_file(person, data)
    async with up(person, data) as again:
        assert again == addresses
        after = await person.ask("audit", "verify", "--json")
        assert after["sound"]
        assert after["records"] >= before["records"] > 0
        async with client(again) as api:
            listed = (await api.get("/v1/alerts")).json()["alerts"]
            assert {alert["alert_id"] for alert in listed} == {*published, cancelled}
            await check_decisions(person)
            await kill_servers(person)
            more = await post_until_accepted(api, alert_for("g4", "E2E-AGAIN"))
            await reached(api, more, GROUP_SIZE)
        async with asyncio.timeout(REACH_SECONDS):
            while VERIFIED not in await read_metrics(again["metrics"]):
                await asyncio.sleep(0.5)
    check_files(tmp_path, data)


def check_files(directory: Path, data: Path) -> None:
    """Everything lies in the data directory, for its owner alone."""
    assert {path.name for path in directory.iterdir()} == {"work", "tmp", data.relative_to(directory).parts[0]}
    for path in data.relative_to(directory).parents:
        assert len([*(directory / path).iterdir()]) == (3 if path == Path() else 1)
    assert data.stat().st_mode & 0o077 == 0
    readable = [path for path in data.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert readable == []
    assert any((data / "kafka" / "log").glob("broadcast.jobs.*"))


def client(addresses: dict[str, str]) -> httpx.AsyncClient:
    """The API, with its key."""
    headers = {"Authorization": f"Bearer {addresses['key']}"}
    return httpx.AsyncClient(base_url=addresses["api"], headers=headers, timeout=10.0, trust_env=False)


async def post(api: httpx.AsyncClient, alert: Alert, *, xml: bool = False) -> str:
    """Publish over HTTP; the alert's id."""
    content = write_cap(alert) if xml else write_alert(alert)
    kind = "application/cap+xml" if xml else "application/json"
    answer = await api.post("/v1/alerts", content=content, headers={"Content-Type": kind})
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    return str(answer.json()["alert_id"])


async def kill_servers(person: Person) -> None:
    """Kill -9 for Apache Kafka and PostgreSQL, with all that is below them."""
    victims = [
        process
        for process in person.processes()
        if any(word in {"kafka.Kafka", "-D"} or word.endswith("/postgres") for word in process.cmdline())
    ]
    assert len(victims) >= 2
    for victim in victims:
        victim.kill()


async def post_until_accepted(api: httpx.AsyncClient, alert: Alert) -> str:
    """Publish over HTTP, as a caller does who repeats what was answered with 503."""
    async with asyncio.timeout(REACH_SECONDS):
        while True:
            try:
                return await post(api, alert)
            except AssertionError:
                await asyncio.sleep(0.5)


async def publish_each_way(person: Person, addresses: dict[str, str], api: httpx.AsyncClient) -> list[str]:
    """CLI, CLI from stdin, XML, JSON, and a bare value as kcat writes it; the ids."""
    file = person.work / "flood.xml"
    file.write_bytes(write_cap(alert_for("g0", "E2E-CLI")))
    first = (await person.run("alert", "publish", file)).split()[0]
    again = await person.ask("alert", "publish", "-", "--json", given=file.read_bytes())
    assert again["alert_id"] == first
    second = await post(api, alert_for("g1", "E2E-XML"), xml=True)
    third = await post(api, alert_for("g2", "E2E-JSON"))
    bare = alert_for("g3", "E2E-KCAT")
    async with AIOKafkaProducer(bootstrap_servers=addresses["kafka"]) as producer:
        await producer.send_and_wait("broadcast.alerts.v1", write_alert(bare))
    return [first, second, third, str(bare.reference.alert_id)]


async def cancel_in_flight(person: Person, addresses: dict[str, str], api: httpx.AsyncClient) -> str:
    """Stop a broadcast that has begun: within a second nothing more leaves, and the audit says what had."""
    async with httpx.AsyncClient(base_url=addresses["simulator"], timeout=10.0, trust_env=False) as simulator:
        await simulator.post("/behaviour", json=SLOW)
        before = (await simulator.get("/stats")).json()["submits"]
        alert_id = await post(api, alert_for("crowd", "E2E-STOP"))
        async with asyncio.timeout(REACH_SECONDS):
            while (await simulator.get("/stats")).json()["submits"] < before + 100:
                await asyncio.sleep(0.05)
        answer = await api.post(f"/v1/alerts/{alert_id}/cancel", json={"reason": "false alarm"})
        assert answer.status_code == httpx.codes.ACCEPTED
        await asyncio.sleep(STOP_BUDGET_SECONDS)
        stopped = (await simulator.get("/stats")).json()["submits"]
        await simulator.post("/behaviour", json={"delay_ms": 0.0})
        again = await person.run("alert", "cancel", alert_id)
        assert "stopped" in again
        async with asyncio.timeout(REACH_SECONDS):
            while (counts := await counts_of(api, alert_id)).get("queued") or counts.get("submitted"):
                await asyncio.sleep(0.1)
        assert (await simulator.get("/stats")).json()["submits"] == stopped
    assert counts["cancelled"] > 0
    assert counts["delivered"] + counts["cancelled"] == CROWD
    return alert_id


async def check_decisions(person: Person) -> None:
    """What nobody gets does not look like a success, and what waits for the planner is not forgotten."""
    file = person.work / "refused.json"
    for status, group, why in (("Test", "nobody", "no group nobody is known"), ("Actual", "g0", "BROADCAST_REHEARSAL")):
        alert = alert_for(group, f"E2E-REFUSED-{status}").model_copy(update={"status": Status(status)})
        file.write_bytes(write_alert(alert))
        refused = await person.ask("alert", "publish", "--json", file, code=3)
        assert refused["state"] == "refused"
        assert why in refused["reason"]
        line = await person.run("alert", "watch", refused["alert_id"], code=3)
        assert "refused" in line
    (planner,) = [each for each in person.processes() if each.cmdline()[-2:] == ["streams", "planner"]]
    planner.suspend()
    try:
        file.write_bytes(write_alert(alert_for("g0", "E2E-WAITS")))
        waits = await person.ask("alert", "publish", "--wait", "1", "--json", file, code=4)
        alert_id = waits["alert_id"]
        assert waits["state"] == "accepted"
        assert "waits for the planner" in waits["reason"]
        listed = (await person.run("alert", "list", "--json", "--limit", "1")).strip()
        assert json.loads(listed)["identifier"] == "E2E-WAITS"
        assert "waits for the planner" in await person.run("alert", "show", alert_id)
        trial = await person.ask("test-send", "--wait", "0", "--json", "+4915112345678", code=1)
        assert trial["state"] == "accepted"
        assert "waits for the planner" in trial["meaning"]
        await person.run("alert", "cancel", alert_id, "--reason", "wrong text")
        shown = await person.ask("alert", "show", alert_id, "--json")
        assert shown["state"] == "cancelled"
        assert "(wrong text) is noted" in shown["reason"]
    finally:
        planner.resume()


async def counts_of(api: httpx.AsyncClient, alert_id: str) -> dict[str, int]:
    """Recipients of an alert by state."""
    answer = await api.get(f"/v1/alerts/{alert_id}/summary")
    counts: dict[str, int] = answer.json()["counts"]
    return counts


async def check_statuses(addresses: dict[str, str], at_least: int) -> None:
    """`kcat -C` on the statuses shows readable JSON without phone numbers."""
    partitions = [TopicPartition("broadcast.statuses.v1", number) for number in range(4)]
    async with AIOKafkaConsumer(bootstrap_servers=addresses["kafka"], auto_offset_reset="earliest") as consumer:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        values = []
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                values += [record.value for record in records]
    assert len(values) >= at_least
    assert all({"alert_id", "recipient_id", "outcome"} <= json.loads(value).keys() for value in values)
    assert not any(b"4915007" in value for value in values)


async def read_metrics(urls: dict[str, str]) -> Counter[str]:
    """Each metric of all processes, with the sum of its samples."""
    found: Counter[str] = Counter()
    async with httpx.AsyncClient(timeout=10.0, trust_env=False) as http:
        for url in urls.values():
            for family in text_string_to_metric_families((await http.get(url)).text):
                for sample in family.samples:
                    found[sample.name] += sample.value  # type: ignore[assignment]
    return found


async def check_metrics(urls: dict[str, str]) -> None:
    """Whatever the alarms rest on is there to be scraped, once there was work; but what counts only mishaps."""
    found = await read_metrics(urls)
    assert found["tocsin_possible_duplicates_total"] == 0
    rules = yaml.safe_load((ROOT / "ops/prometheus/rules.yml").read_text())["groups"]
    wanted = {name for group in rules for rule in group["rules"] for name in re.findall(r"tocsin_\w+", rule["expr"])}
    assert wanted - found.keys() - LATER == MISHAPS


async def check_audit(person: Person, alert_id: str) -> None:
    """Each audit command, over what was published by the CLI."""
    summary = await person.ask("audit", "summary", alert_id, "--exact", "--json")
    assert (summary["sound"], summary["audience"], summary["counts"]["delivered"]) == (True, GROUP_SIZE, GROUP_SIZE)
    csv = (await person.run("audit", "deliveries", alert_id, "--state", "delivered", "--format", "csv")).split()
    assert len(csv) == GROUP_SIZE + 1
    recipient = csv[1].split(",")[csv[0].split(",").index("recipient_id")]
    history = await person.ask("audit", "history", alert_id, recipient, "--json")
    assert len(history) >= 2  # the submit and its receipt
    rebuilt = await person.ask("audit", "rebuild", "--check", "--json")
    assert rebuilt["sound"]
    letters = await person.run("deadletters", "list")
    assert "alerts.v1" not in letters
