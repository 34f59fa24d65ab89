"""One whole broadcast, measured: rate, CPU per recipient, memory, and how fast an alert starts and stops."""

import asyncio
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx

from bench.pages import measure_pages, page_of
from bench.sampling import Sampler
from broadcast.audience.groups import nest_group
from broadcast.audience.importing import import_recipients
from broadcast.audience.synthetic import DEMO, NESTING, NUMBERS, write
from broadcast.cap import freshen, read_cap
from broadcast.clock import epoch_milliseconds, monotonic, utc_now
from broadcast.database import connect
from broadcast.embedded.demonstration import EXAMPLE, publish
from broadcast.embedded.stack import Stack
from broadcast.embedded.steps import Progress, Report
from schemas.alert import Alert
from schemas.status import DeliveryState

TEXT = "FLOOD: leave the flood plain now. Go uphill, help others, keep the roads free. Tocsin"
POLL_SECONDS = 0.2
SMALL_GROUP, SMALL_COUNT = "bench-1000", 1_000
LIFETIME_SECONDS = 3600
WAIT_SECONDS = 1800.0


@dataclass
class Bench:
    """Measurements against a stack that is ready; what was measured collects in `results`."""

    stack: Stack
    recipients: int
    api_key: str
    report: Report
    results: dict[str, Any] = field(default_factory=dict)
    states: Mapping[str, int] = field(default_factory=dict)

    async def load(self) -> None:
        """Fill the directory with `recipients`, and the small group among them."""
        self.report(Progress("import", "started"))
        began_at = monotonic()
        csv = self.stack.data_dir / "recipients.csv"
        await asyncio.to_thread(write, csv, self.recipients)
        small = self.stack.data_dir / "small.csv"
        lines = [f"P{number:07d},{NUMBERS}{number:07d},{SMALL_GROUP}\n" for number in range(SMALL_COUNT)]
        small.write_text("external_id,phone,groups\n" + "".join(lines))
        connection = await connect(self.stack.settings)
        try:
            for file in (csv, small):
                result = await import_recipients(connection, file, file.with_suffix(".report.csv"))
                self.results.setdefault("import_seconds", round(result.seconds, 2))
            for parent, child in NESTING:
                await nest_group(connection, parent, child)
            await connection.execute("ANALYZE")
        finally:
            await connection.close()
        self.report(Progress("import", "ended", seconds=monotonic() - began_at))

    def client(self) -> httpx.AsyncClient:
        """A client of the API with the key."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return httpx.AsyncClient(base_url=self.stack.api_url, headers=headers, timeout=30.0, trust_env=False)

    async def throughput(self) -> None:
        """Publish to everybody and wait for the last receipt in the audit."""
        self.report(Progress("broadcast", "started"))
        sampler = Sampler(self.processes, observe=lambda: {f"state_{name}": n for name, n in self.states.items()})
        async with self.client() as client:
            sampler.start()
            began_at = monotonic()
            alert_id = await publish(client, make_alert(DEMO))
            await self.wait_delivered(client, alert_id)
            seconds = monotonic() - began_at
            cpu, peaks = sampler.cpu(), sampler.peaks()
            await sampler.stop()
            summary = (await client.get(f"/v1/alerts/{alert_id}/summary", params={"exact": "true"})).json()
        self.report(Progress("broadcast", "ended", seconds=seconds))
        self.results["throughput"] = {
            "recipients": self.recipients,
            "seconds": round(seconds, 3),
            "recipients_per_second": round(self.recipients / seconds),
            "cpu_microseconds_per_recipient": {name: round(s * 1e6 / self.recipients, 2) for name, s in cpu.items()},
            "cores_used": round(sum(cpu.values()) / seconds, 2),
            "peak_megabytes": {name: round(count / 2**20, 1) for name, count in peaks.items()},
            "states": summary["counts"],
            "samples": sampler.samples,
        }

    async def latency(self, publishes: int) -> None:
        """Publish → first submit, idle, for an audience of 1,000; seen by the simulator, in wall-clock time."""
        self.report(Progress("latency", "started"))
        began_at = monotonic()
        found: list[float] = []
        async with (
            self.client() as client,
            httpx.AsyncClient(base_url=self.stack.simulator_url, trust_env=False) as simulator,
        ):
            for number in range(publishes):
                await simulator.post("/reset")
                published_at = epoch_milliseconds() / 1000
                alert_id = await publish(client, make_alert(SMALL_GROUP))
                first_at = await self._first_submit(simulator)
                found.append((first_at - published_at) * 1000)
                await self.wait_delivered(client, alert_id)
                self.report(Progress("latency", "advanced", number + 1, publishes))
        self.report(Progress("latency", "ended", seconds=monotonic() - began_at))
        cuts = statistics.quantiles(found, n=100, method="inclusive")
        self.results["publish_to_first_submit_milliseconds"] = {
            "publishes": publishes,
            "audience": SMALL_COUNT,
            "directory": self.recipients,
            "p50": round(cuts[49], 1),
            "p95": round(cuts[94], 1),
            "p99": round(cuts[98], 1),
            "highest": round(max(found), 1),
        }

    async def overtaking(self) -> None:
        """An immediate alert while everybody's routine alert is on its way: publish → first submit, from the audit."""
        self.report(Progress("overtaking", "started"))
        began_at = monotonic()
        async with self.client() as client:
            routine = await publish(client, make_alert(DEMO, urgency="Future", severity="Minor"))
            await self._wait_share(client, routine, 0.1)
            published_at = epoch_milliseconds() / 1000
            urgent = await publish(client, make_alert(SMALL_GROUP))
            await self.wait_delivered(client, urgent)
            left = self.recipients - _settled(await self._states(client, routine))
            connection = await connect(self.stack.settings)
            try:
                row = await connection.fetchrow(
                    "SELECT min(submitted_at) AS first, max(submitted_at) AS last FROM attempts WHERE alert_id = $1",
                    urgent,
                )
            finally:
                await connection.close()
            await self.wait_delivered(client, routine)
        assert row is not None
        self.report(Progress("overtaking", "ended", seconds=monotonic() - began_at))
        self.results["with_backlog_milliseconds"] = {
            "backlog_left": left,
            "publish_to_first_submit": round((row["first"].timestamp() - published_at) * 1000, 1),
            "publish_to_last_submit": round((row["last"].timestamp() - published_at) * 1000, 1),
        }

    async def pages(self) -> None:
        """A page of each state, while an alert to everybody runs and when it is done; see `bench.pages`."""
        self.report(Progress("pages", "started"))
        began_at = monotonic()
        connection = await connect(self.stack.settings)
        try:
            highest = await connection.fetchval("SELECT max(id) FROM recipients")
            async with self.client() as client:
                alert_id = await publish(client, make_alert(DEMO))
                await self._wait_share(client, alert_id, 0.1)
                ask = page_of(connection, UUID(alert_id))
                running = await measure_pages(ask, highest, 1)
                left = self.recipients - _settled(await self._states(client, alert_id))
                await self.wait_delivered(client, alert_id)
                done = await measure_pages(ask, highest)
        finally:
            await connection.close()
        self.report(Progress("pages", "ended", seconds=monotonic() - began_at))
        self.results["page_milliseconds"] = {"running": running, "queued_after_running": left, "done": done}

    async def stopping(self) -> None:
        """A stop in mid broadcast: from the accepted stop to the last submit, and how many had escaped."""
        self.report(Progress("stopping", "started"))
        began_at = monotonic()
        async with (
            self.client() as client,
            httpx.AsyncClient(base_url=self.stack.simulator_url, trust_env=False) as simulator,
        ):
            await simulator.post("/reset")
            alert_id = await publish(client, make_alert(DEMO))
            await self._first_submit(simulator)
            answer = await client.post(f"/v1/alerts/{alert_id}/cancel", json={"reason": "bench"})
            stopped_at = epoch_milliseconds() / 1000
            answer.raise_for_status()
            await self.wait_delivered(client, alert_id)
            stats = (await simulator.get("/stats")).json()
            states = await self._states(client, alert_id)
        self.report(Progress("stopping", "ended", seconds=monotonic() - began_at))
        self.results["stop"] = {
            "stop_to_last_submit_milliseconds": round((stats["last_submit_at"] - stopped_at) * 1000, 1),
            "escaped": self.recipients - states.get(DeliveryState.CANCELLED, 0),
            "cancelled": states.get(DeliveryState.CANCELLED, 0),
        }

    async def wait_delivered(self, client: httpx.AsyncClient, alert_id: str) -> None:
        """Until nobody is queued, and nobody is submitted without a receipt."""
        deadline = monotonic() + WAIT_SECONDS
        while monotonic() < deadline:
            states = self.states = await self._states(client, alert_id)
            if states and not states.get(DeliveryState.QUEUED) and not states.get(DeliveryState.SUBMITTED):
                return
            await asyncio.sleep(POLL_SECONDS)
        raise TimeoutError(f"alert {alert_id} did not end within {WAIT_SECONDS:.0f} s: {dict(self.states)}")

    def processes(self) -> dict[str, int]:
        """Every process of the stack by name, with its pid now."""
        found = {name: stage.pid for name, stage in self.stack.stages.items() if stage.running}
        if self.stack.kafka is not None:
            found["kafka"] = self.stack.kafka.process.pid
        if self.stack.postgres is not None:
            found["postgres"] = self.stack.postgres.process.pid
        return found

    async def _states(self, client: httpx.AsyncClient, alert_id: str) -> Mapping[str, int]:
        answer = await client.get(f"/v1/alerts/{alert_id}/summary")
        if not answer.is_success or not answer.json()["audience"]:
            return {}
        states: Mapping[str, int] = answer.json()["counts"]
        return states

    async def _wait_share(self, client: httpx.AsyncClient, alert_id: str, share: float) -> None:
        while _settled(await self._states(client, alert_id)) < share * self.recipients:
            await asyncio.sleep(POLL_SECONDS)

    async def _first_submit(self, simulator: httpx.AsyncClient) -> float:
        deadline = monotonic() + 30
        while monotonic() < deadline:
            first_at = (await simulator.get("/stats")).json()["first_submit_at"]
            if first_at:
                return float(first_at)
            await asyncio.sleep(0.01)
        raise TimeoutError("no submit within 30 s")


def make_alert(group: str, *, urgency: str = "Immediate", severity: str = "Extreme") -> Alert:
    """An alert of now with one short text, for one group."""
    example, _ = read_cap(EXAMPLE.read_bytes())
    alert = freshen(example, f"BENCH-{uuid4()}", utc_now(), LIFETIME_SECONDS)
    document = alert.model_dump()
    info = document["info"][0] | {
        "urgency": urgency,
        "severity": severity,
        "certainty": "Observed",
        "parameter": [{"value_name": "SMS", "value": TEXT}],
    }
    return Alert.model_validate(document | {"addresses": group, "info": [info]})


def _settled(states: Mapping[str, int]) -> int:
    return sum(count for state, count in states.items() if state != DeliveryState.QUEUED)
