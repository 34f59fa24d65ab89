"""Three accounts of an SMSC that does everything wrong at once, two senders, kills: everybody is accounted for."""

import asyncio
import random

import pytest

from broadcast.alarms import ACCOUNT_FAILING, ALERT_FAILING, OPERATOR_FAILING
from broadcast.clock import monotonic
from broadcast.embedded.processes.child import Process
from schemas.lane import Lane
from tests.fault import report
from tests.fault.accounting import wait_final
from tests.fault.system import IN_DOUBT_LIMIT, TEXT, WINDOW, SystemOptions, SystemUnderTest

ROUTE = """\
[[routes]]
name = "{route}"
prefixes = ["+"]
partitions = 4
delays_seconds = [1, 2]
"""

ACCOUNT = """
[[routes.accounts]]
name = "NAME"
host = "{host}"
port = {port}
system_id = "NAME"
simulated = true
password = "simulate"
source_addr = "TOCSIN"
window = {window}
message_id_rule = "RULE"
response_timeout_seconds = 5
backoff_seconds = 0.2
backoff_limit_seconds = 1.0
"""

ID_RULES = {"a": "as_is", "b": "hex_to_decimal", "c": "as_is"}
"""The accounts of the profile, and how their receipts write ids."""

ROUTES = ROUTE + "".join(ACCOUNT.replace("NAME", name).replace("RULE", rule) for name, rule in ID_RULES.items())

SYSTEM = SystemOptions(
    name="hostile", routes=ROUTES, simulator_arguments=("--profile", "hostile"), block=500, chunk_size=500
)

ALERTS = (
    (Lane.ROUTINE, TEXT),
    (Lane.PRIORITY, "The water rises. Leave the houses by the river, and go to the school on the hill. " * 3),
    (Lane.IMMEDIATE, TEXT),
)
"""Lane and text; the second has two segments, whose parts a phone can join only if they come by one bind."""

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_hostile_smsc(system: SystemUnderTest, seed: int) -> None:
    """A short broadcast."""
    await broadcast(system, seed, recipients=6_000, kills=2, budget_seconds=120)


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_hostile_smsc_long(system: SystemUnderTest, seed: int) -> None:
    """51,000 recipients."""
    await broadcast(system, seed, recipients=51_000, kills=10, budget_seconds=900, long=True)


async def broadcast(
    system: SystemUnderTest, seed: int, *, recipients: int, kills: int, budget_seconds: float, long: bool = False
) -> None:
    """Reach so many recipients in three alerts with two senders, each killed in turn."""
    chance = random.Random(seed)
    began_at = monotonic()
    await system.begin(recipients)
    second = system.victim("sender", BROADCAST_SLOT="2")
    second.start()
    killed = 0
    try:
        alerts = [await system.publish(system.alert(recipients // 3, *alert)) for alert in ALERTS]
        for number in range(kills):
            await asyncio.sleep(chance.uniform(0.5, 1.5))
            await kill_sender(system, second if number % 2 else None)
            killed += 1
        await wait_final(system, alerts, budget_seconds=budget_seconds, submitted=True)
    finally:
        await second.kill_all()
    stats = await system.simulator("/stats")
    # What a session that ended had in its window is unknown, and so is what is not answered in time. Of the binds no
    # more than three for each start of a sender are taken off: those of which no session ended but with the process.
    ended = max(0, stats["binds_total"] - len(ID_RULES) * (2 + killed))
    allowed = IN_DOUBT_LIMIT * killed + stats["unanswered"] + WINDOW * ended
    entry = report.Entry(
        test="hostile SMSC" + (", long" if long else ""),
        kills=killed,
        hits=killed,
        allowed=allowed,
        seconds=monotonic() - began_at,
        seed=seed,
        note=f"{stats['binds_total']} binds, {stats['violations_total']} violations",
        long=long,
    )
    # A resend may be on a session that is cut too: the audit says unknown.
    expected = {ALERT_FAILING, ACCOUNT_FAILING, OPERATOR_FAILING}
    await report.conclude(system, alerts, entry, expected_alarms=expected, unknown_allowed=True)
    assert stats["violations_total"] == 0, f"{stats['violations']}: {stats['violation_examples'][:3]}"


async def kill_sender(system: SystemUnderTest, second: Process | None) -> None:
    """Kill the second sender and start it again, or else the supervised one.

    Its supervisor starts it again, also when the other sender fences it while it takes over what it left.
    """
    if second is not None:
        await second.kill_all()
        second.start()
        return
    supervised = system.stack.stage("sender")
    await supervised.kill9()
