"""The demo: import synthetic recipients, publish a flood alert over HTTP, wait for the last receipt, reconcile."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from broadcast.audience.groups import nest_group
from broadcast.audience.importing import import_recipients
from broadcast.audience.synthetic import DEMO, NESTING, write
from broadcast.cap import MEDIA_TYPE, freshen, read_cap, write_cap
from broadcast.clock import monotonic, utc_now
from broadcast.database import Connection, connect
from broadcast.embedded.errors import EmbeddedError
from broadcast.embedded.limits import Limits, longest_resend_seconds, states_stand, unfinished
from broadcast.embedded.stack import Stack
from broadcast.embedded.steps import Progress, Report, discard
from broadcast.errors import name_error
from broadcast.routes_file import load_routes
from broadcast.text.counts import counted
from schemas.alert import Alert
from schemas.status import DeliveryState


@dataclass(frozen=True)
class Reconciliation:
    """The proof of one broadcast: what the audit says, held against what the simulator saw.

    `missing` were in the audience and not suppressed but never reached the simulator; `unexpected` reached it
    without being in the audience; `repeated` reached it more than once.
    """

    audience: int
    states: Mapping[str, int]
    missing: int
    unexpected: int
    repeated: int
    gap: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gap", self.audience - sum(self.states.values()))

    @property
    def queued(self) -> int:
        return self.states.get(DeliveryState.QUEUED, 0)

    def problems(self) -> list[str]:
        """What does not hold, in words; empty: everything is accounted for."""
        checks = (
            (self.audience == 0, "the audience is empty"),
            (self.gap != 0, f"audience and sum of states differ by {self.gap}"),
            (self.queued > 0, f"{counted(self.queued, 'recipient', 'is', 'are')} still queued"),
            (self.missing > 0, f"{counted(self.missing, 'number')} of the audience never reached the simulator"),
            (self.unexpected > 0, f"{counted(self.unexpected, 'number')} outside the audience reached the simulator"),
            (self.repeated > 0, f"{counted(self.repeated, 'number')} reached the simulator more than once"),
        )
        return [problem for wrong, problem in checks if wrong]


def reconcile(states: Mapping[str, int], audience: Iterable[int], seen: Mapping[int, int]) -> Reconciliation:
    """Compare the audience's numbers (digits as integers) with what the simulator saw (number → submits)."""
    expected = set(audience)
    suppressed = states.get(DeliveryState.SUPPRESSED, 0)
    missing = len(expected - seen.keys())
    return Reconciliation(
        audience=len(expected),
        states=states,
        missing=max(missing - suppressed, 0),
        unexpected=len(seen.keys() - expected),
        repeated=sum(1 for count in seen.values() if count > 1),
    )


EXAMPLE = Path(__file__).with_name("flood.xml")
"""A link to `examples/flood.xml`; in a wheel it is a file."""
LIFETIME_SECONDS = 3600
POLL_SECONDS, LONGEST_POLL_SECONDS = 0.1, 1.0
POLLED_SHARE = 0.1
"""The next look comes after this share of the time in which nothing changed: a look costs API and stages CPU."""
HTTP_SECONDS = 10.0

States = Mapping[str, int]
Watch = Callable[[int, States], None]
"""Called while the broadcast runs, with the audience and the recipients in each state."""


class DemonstrationError(EmbeddedError):
    """The demo could not go on: at which step, and why."""


@dataclass(frozen=True, slots=True)
class End:
    """How the wait ended: `why` it was cut short, what the stages missed then, and recipients marked as duplicates."""

    why: str | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    marked: int = 0


@dataclass
class Demonstration:
    """One run against a stack that is ready; `steps` are (name, seconds) in order."""

    stack: Stack
    recipients: int
    api_key: str
    report: Report = discard
    watch: Watch = lambda _audience, _states: None
    steps: list[tuple[str, float]] = field(default_factory=list)
    alert_id: str = ""
    limits: Limits = field(default_factory=Limits)
    end: End = End()

    async def run(self) -> Reconciliation:
        """Import, publish, wait, reconcile.

        When it stands still it raises DemonstrationError, or with `limits.ends` keeps in `end` why it ended.
        """
        async with self.step("import recipients"):
            await self._import()
        headers = {"Authorization": f"Bearer {self.api_key}"}
        async with httpx.AsyncClient(
            base_url=self.stack.api_url, headers=headers, timeout=HTTP_SECONDS, trust_env=False
        ) as client:
            async with self.step("publish alert"):
                self.alert_id = await publish(client, example_alert())
            async with self.step("reach every recipient"):
                states = await self._wait(client)
        async with self.step("reconcile"):
            return await self._reconcile(states)

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[None]:
        """Time a step and report its start and end."""
        began_at = monotonic()
        self.report(Progress(name, "started"))
        yield
        seconds = monotonic() - began_at
        self.steps.append((name, seconds))
        self.report(Progress(name, "ended", seconds=seconds))

    async def _import(self) -> None:
        csv = self.stack.data_dir / "recipients.csv"
        await asyncio.to_thread(write, csv, self.recipients)
        connection = await connect(self.stack.settings)
        try:
            await import_recipients(connection, csv, csv.with_suffix(".report.csv"), progress=self._imported)
            for parent, child in NESTING:
                await nest_group(connection, parent, child)
        finally:
            await connection.close()
            csv.unlink()

    def _imported(self, step: str, done: int, total: int) -> None:
        self.report(Progress("import recipients", "advanced", done, total, message=step))

    async def _wait(self, client: httpx.AsyncClient) -> States:
        states: States = {}
        missing: Mapping[str, str] = {}
        unable = False
        resend_seconds = longest_resend_seconds(load_routes(self.stack.settings))
        began_at = changed_at = monotonic()
        while True:
            try:
                answer = await client.get(f"/v1/alerts/{self.alert_id}/summary")
                said = f"{answer.status_code}: {answer.text[:500]}"
            except httpx.TransportError as error:
                answer, said = None, name_error(error)
            if answer is not None and answer.is_success:
                body = answer.json()
                if body["counts"] != states:
                    states, changed_at = body["counts"], monotonic()
                    self.watch(body["audience"] or 0, states)
                unchanged = monotonic() - changed_at
                if body["audience"] and states_stand(states, unchanged, resend_seconds):
                    self.end = End(marked=body["possible_duplicates"])
                    return states
                if body["state"] in {"refused", "expired"}:
                    raise DemonstrationError(f"the alert is {body['state']}: {body.get('reason') or 'no reason given'}")
                if self.limits.ends:
                    state = await self.stack.read_state()
                    missing, unable = (state.missing, bool(state.holds)) if state is not None else ({}, False)
                unbound = unable and states.get(DeliveryState.QUEUED, 0) == body["audience"]
                stalled = unchanged if unfinished(states) or not body["audience"] else 0.0
                why = self.limits.exceeded(monotonic() - began_at, stalled, unbound=unbound)
                if why is not None:
                    if not self.limits.ends:
                        raise DemonstrationError(f"{why}; the states are {dict(states)}")
                    self.end = End(why, missing, body["possible_duplicates"])
                    return states
            elif monotonic() - changed_at > self.limits.stall_seconds:
                raise DemonstrationError(f"the API has not answered as it should for a long time: {said}")
            unchanged = monotonic() - changed_at
            await asyncio.sleep(min(max(POLL_SECONDS, POLLED_SHARE * unchanged), LONGEST_POLL_SECONDS))

    async def _reconcile(self, states: States) -> Reconciliation:
        connection = await connect(self.stack.settings)
        try:
            audience = await audience_numbers(connection, self.alert_id)
        finally:
            await connection.close()
        return reconcile(states, audience, await simulator_numbers(self.stack.simulator_url))


def example_alert() -> Alert:
    """The flood alert of `examples/`, as of now, for the parent group of all synthetic recipients."""
    alert, _ = read_cap(EXAMPLE.read_bytes())
    alert = freshen(alert, f"DEMO-{uuid4()}", utc_now(), LIFETIME_SECONDS)
    return alert.model_copy(update={"addresses": DEMO})


async def publish(client: httpx.AsyncClient, alert: Alert) -> str:
    """Publish over HTTP as CAP XML; the alert's id. Raises DemonstrationError with what the API answered."""
    answer = await client.post("/v1/alerts", content=write_cap(alert), headers={"Content-Type": MEDIA_TYPE})
    if answer.status_code != httpx.codes.ACCEPTED:
        raise DemonstrationError(f"publishing was answered with {answer.status_code}: {answer.text[:500]}")
    alert_id: str = answer.json()["alert_id"]
    return alert_id


async def audience_numbers(connection: Connection, alert_id: str) -> list[int]:
    """The numbers of an alert's audience, the suppressed included, as integers."""
    rows: list[asyncpg.Record] = await connection.fetch(
        """
        SELECT substr(msisdn, 2)::bigint AS number
        FROM recipients WHERE id IN (SELECT unnest(recipients) FROM chunks WHERE alert_id = $1)
        """,
        alert_id,
    )
    return [row["number"] for row in rows]


async def simulator_stats(url: str) -> dict[str, Any]:
    """The statistics of the simulator."""
    async with httpx.AsyncClient(timeout=60.0, trust_env=False) as client:
        stats: dict[str, Any] = (await client.get(f"{url}/stats")).raise_for_status().json()
        return stats


async def simulator_numbers(url: str) -> dict[int, int]:
    """What the simulator saw: number → messages."""
    async with httpx.AsyncClient(timeout=60.0, trust_env=False) as client:
        lines = (await client.get(f"{url}/numbers")).raise_for_status().text.splitlines()
    return {int(number): int(count) for number, count in map(str.split, lines)}
