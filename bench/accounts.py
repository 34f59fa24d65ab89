"""How fast a broadcast arrives by four accounts of which one is out of order; each may send 1,000 segments/s.

`python -m bench.accounts [--json]`, or `make bench-accounts`. The whole embedded stack, with the real sender, Kafka and
PostgreSQL; it fails when the whole broadcast of a case arrives slower than its guard.
"""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import httpx

from bench.broadcast import Bench, make_alert
from bench.machine import describe_machine
from bench.sampling import Sampler
from broadcast.audience.synthetic import DEMO
from broadcast.cli.terminal.display import Display, table_of
from broadcast.clock import monotonic
from broadcast.embedded.demonstration import publish
from broadcast.embedded.keyed_stack import start_with_key
from broadcast.embedded.options import StackOptions
from broadcast.embedded.ports import find_free_port
from broadcast.embedded.stack import Stack
from broadcast.embedded.steps import Progress, Report
from schemas.status import DeliveryState

RESULTS: Final = Path(__file__).parent / "results" / "accounts.json"
RATE: Final = 1_000
"""Segments per second of each account."""
HEALTHY: Final = ("b", "c", "d")
LEAST_SHARE: Final = 2_900 / 3_000
"""At which the whole broadcast arrives, of what the three healthy accounts may send together."""
RESPONSE_TIMEOUT_SECONDS: Final = 5
RESENT_SECONDS: Final = 60.0
"""So long after everything else what nothing answered may still arrive: a resend waits half a minute."""
POLL_SECONDS: Final = 0.1
BEGAN, ENDED = 0.1, 0.9
"""The rate of the healthy accounts is that between these shares of the audience."""

CASES: Final = {
    "dead": 'behaviour = { connections = "refused" }',
    "mute": "behaviour = { hang_share = 1.0, hang_takes = false }",
    "refusing": "behaviour = { error_shares = { invsrcadr = 1.0 } }",
    "slow": f"behaviour = {{ delay_ms = {1000 * (RESPONSE_TIMEOUT_SECONDS + 2)} }}",
}
"""What is wrong with the account `a`, as the simulator's profile says it."""
PROFILE: Final = f"""
about = "Four accounts; one is out of order."
client = {{ rate_per_second = {RATE}, window = 200, response_timeout_seconds = {RESPONSE_TIMEOUT_SECONDS} }}

[behaviour]
validity_required = true
rate_limit = {RATE}
rate_tolerance = 0.02

[[accounts]]
name = "a"
password = "simulate"
port = {{port}}
"""
HEALTHY_ACCOUNT: Final = """
[[accounts]]
name = "{name}"
password = "simulate"
"""


class Count(NamedTuple):
    """What all accounts together, and the healthy ones, have accepted; `at` in seconds since the publish."""

    at: float
    by_all: int
    by_healthy: int


@click.command()
@click.option("--recipients", type=click.IntRange(10_000), default=100_000, show_default=True)
@click.option("--case", "cases", type=click.Choice(list(CASES)), multiple=True, help="All, unless given.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(*, recipients: int, cases: tuple[str, ...], results: Path, as_json: bool) -> None:
    """Measure a broadcast to RECIPIENTS simulated phones by four accounts of which one is out of order."""
    display = Display(quiet=as_json)
    measured: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": describe_machine()}
    results.parent.mkdir(parents=True, exist_ok=True)
    measured["cases"] = {}
    with display:
        for case in cases or CASES:
            measured["cases"][case] = asyncio.run(_run(case, recipients, display.report))
            results.write_text(json.dumps(measured, indent=1) + "\n")
    if as_json:
        click.echo(json.dumps(measured))
    else:
        for case, found in measured["cases"].items():
            rows = [(name.replace("_", " "), f"{value:,}") for name, value in found.items() if name != "states"]
            display.console.print(table_of(f"One account is {case}", rows))
        display.console.print(f"written to {results}")
    faults = [f"{case}: {fault}" for case, found in measured["cases"].items() for fault in find_faults(found)]
    if faults:
        raise click.ClickException("; ".join(faults))


async def _run(case: str, recipients: int, report: Report) -> dict[str, Any]:
    directory = Path(tempfile.mkdtemp(prefix="tocsin-bench-"))
    try:
        profile = directory / "profile.toml"
        # A port of its own: the one of the others takes binds.
        bad = PROFILE.replace("{port}", str(find_free_port()))
        profile.write_text(bad + CASES[case] + "".join(HEALTHY_ACCOUNT.format(name=name) for name in HEALTHY))
        async with Stack(directory / "data", StackOptions(profile=str(profile)), report=report) as stack:
            bench = Bench(stack, recipients, await start_with_key(stack), report)
            await bench.load()
            return await _measure(bench, case)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _measure(bench: Bench, case: str) -> dict[str, Any]:
    """Publish to everybody, and count what the accounts accept until everybody is reached."""
    people = bench.recipients
    bench.report(Progress(case, "started"))
    sampler = Sampler(bench.processes)
    async with (
        bench.client() as client,
        httpx.AsyncClient(base_url=bench.stack.simulator_url, trust_env=False) as simulator,
    ):
        sampler.start()
        began_at = monotonic()
        alert_id = await publish(client, make_alert(DEMO))
        waiting = asyncio.create_task(_wait_for_everybody(bench, client, alert_id))
        counts: list[Count] = []
        while not waiting.done():
            counts.append(count_accepted(await _accounts(simulator), monotonic() - began_at))
            bench.report(Progress(case, "advanced", counts[-1].by_all, people))
            await asyncio.sleep(POLL_SECONDS)
        await waiting
        seconds, cpu = monotonic() - began_at, sampler.cpu()
        await sampler.stop()
        accounts = await _accounts(simulator)
        counts.append(count_accepted(accounts, seconds))
        violations = (await simulator.get("/stats")).json()["violations"]
    bench.report(Progress(case, "ended", seconds=seconds))
    return {
        "recipients": people,
        "per_second": round(arrival_rate(counts, people, accounts["a"]["unanswered"])),
        "per_second_by_the_healthy_accounts": round(healthy_rate(counts, people)),
        "seconds_to_the_last_person": round(_reached(counts, people).at, 1),
        "seconds_to_half": round(_reached(counts, people / 2).at, 1),
        "seconds_to_ninety_nine_percent": round(_reached(counts, 0.99 * people).at, 1),
        "seconds_to_the_last_receipt": round(seconds, 1),
        "taken_by_the_account_out_of_order": accounts["a"]["submits"],
        "never_answered_by_it": accounts["a"]["unanswered"],
        "highest_in_a_second_of_a_healthy_account": max(accounts[name]["highest_per_second"] for name in HEALTHY),
        "violations": sum(violations.values()),
        "cores_used": round(sum(cpu.values()) / seconds, 2),
        "states": dict(bench.states),
    }


async def _wait_for_everybody(bench: Bench, client: httpx.AsyncClient, alert_id: str) -> None:
    """Until nobody is queued or submitted, and what the account did not answer was sent again."""
    await bench.wait_delivered(client, alert_id)
    deadline = monotonic() + RESENT_SECONDS
    while bench.states.get(DeliveryState.UNKNOWN) and monotonic() < deadline:
        await asyncio.sleep(POLL_SECONDS)
        await bench.wait_delivered(client, alert_id)


async def _accounts(simulator: httpx.AsyncClient) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (await simulator.get("/stats")).json()["accounts"]
    return found


def count_accepted(accounts: Mapping[str, Any], at: float) -> Count:
    """What the accounts of the simulator have accepted so far, by their statistics."""
    taken = {name: account["accepted"] for name, account in accounts.items()}
    return Count(at, sum(taken.values()), sum(taken[name] for name in HEALTHY))


def arrival_rate(counts: Sequence[Count], people: int, unanswered: int) -> float:
    """People whose message any account accepted per second, from the first of the broadcast to the last.

    Without the `unanswered` ones: what an account never answered is sent again half a minute later, by design.
    """
    first, last = _reached(counts, 1), _reached(counts, people - unanswered)
    began = counts[max(0, counts.index(first) - 1)]
    return (min(last.by_all, people) - began.by_all) / (last.at - began.at)


def find_faults(found: Mapping[str, Any]) -> Iterator[str]:
    """What a measured case misses of the promise: the rate of the whole broadcast, and that everybody is reached."""
    least, delivered = LEAST_SHARE * 3 * RATE, found["states"].get(DeliveryState.DELIVERED, 0)
    if found["per_second"] < least:
        yield f"arrives at {found['per_second']:,} a second, below {least:,.0f}"
    if delivered < found["recipients"]:
        yield f"delivered to {delivered:,} of {found['recipients']:,}"


def healthy_rate(counts: Sequence[Count], people: int) -> float:
    """Segments that the healthy accounts took per second, between the beginning and the end of the broadcast."""
    first, last = _reached(counts, BEGAN * people), _reached(counts, ENDED * people)
    return (last.by_healthy - first.by_healthy) / (last.at - first.at)


def _reached(counts: Sequence[Count], wanted: float) -> Count:
    """The first count of so many."""
    return next((each for each in counts if each.by_all >= wanted), counts[-1])


if __name__ == "__main__":
    main()
