"""A sender frozen past its session and woken: it ends itself, and whoever took over loses nobody."""

import asyncio
import signal

import pytest

from broadcast.alarms import ALERT_FAILING
from broadcast.clock import monotonic
from broadcast.embedded.processes.child import Process
from broadcast.errors import FENCED_EXIT_CODE, LEASE_EXIT_CODE
from schemas.lane import Lane
from tests.fault import report
from tests.fault.accounting import wait_final
from tests.fault.system import COMMON, FAST, IN_DOUBT_LIMIT, SLOW, SystemUnderTest

AUDIENCE = 6_000
SESSION_SECONDS = 6.0
"""The shortest that a broker grants by default."""
FROZEN_SECONDS = SESSION_SECONDS + 1.5
END_SECONDS = 20.0

SYSTEM = COMMON

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("replaced", [False, True], ids=["alone", "replaced"])
async def test_frozen_sender_ends_itself_when_woken(system: SystemUnderTest, replaced: bool) -> None:
    """With a replacement in its slot, or one that starts after its end."""
    began_at = monotonic()
    await system.begin(AUDIENCE)
    regular = system.stack.stage("sender")
    assert await regular.stop() == 0
    victim = system.victim("sender", BROADCAST_SESSION_TIMEOUT_SECONDS=str(SESSION_SECONDS))
    victim.start()
    try:
        await system.pace(SLOW)
        alert = await system.publish(system.alert(AUDIENCE, Lane.PRIORITY))
        before = await system.submits()

        async def begun() -> bool:
            return await system.submits() > before + 300

        await system.until("the broadcast begins", begun, budget_seconds=30)
        victim.kill(signal.SIGSTOP)
        if replaced:
            regular.start()
        await asyncio.sleep(FROZEN_SECONDS)
        frozen_at = await system.submits()
        if replaced:
            assert frozen_at > before + 400, "the replacement does not send"
            replacement = regular.pid
        code = await wake(victim)
        assert code in (FENCED_EXIT_CODE, LEASE_EXIT_CODE), f"ended with {code}: {victim.explain()}"
        if replaced:
            assert (regular.pid, regular.running) == (replacement, True), "the woken one took the replacement with it"
        else:
            assert await system.submits() == frozen_at, "the woken one has sent on a lease that had ended"
    finally:
        await victim.kill_all()
        if not regular.running:
            regular.start()

    await system.pace(FAST)
    await wait_final(system, [alert], budget_seconds=60)
    # Alerts of a scene before, whose numbers the simulator refuses, may be told meanwhile.
    entry = report.Entry(
        test=f"sender frozen, {'replaced' if replaced else 'alone'}",
        kills=1,
        hits=1,
        allowed=IN_DOUBT_LIMIT,
        seconds=monotonic() - began_at,
        note=f"ended itself with code {code}",
    )
    await report.conclude(system, [alert], entry, expected_alarms={ALERT_FAILING})


async def wake(victim: Process) -> int:
    """SIGCONT; the exit code that follows within its budget."""
    victim.kill(signal.SIGCONT)
    async with asyncio.timeout(END_SECONDS):
        return await victim.wait()
