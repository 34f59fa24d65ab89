"""A sender dies at each step of its work, and a stop and an expiry meet its jobs at its successor."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from broadcast.settings import Settings
from schemas.status import Outcome
from tests.support.sender_setup import RouteUnderTest, number_of, open_route, start_process
from tests.support.steps import Step

COUNT: Final = 3_000
IN_DOUBT: Final = 400
SENT: Final = frozenset([Outcome.ACCEPTED, Outcome.UNKNOWN])

WRITE: Final = ("broadcast.sending.accounts.binds", "AccountBinds.write")
COMMIT: Final = ("broadcast.kafka.transactions", "TransactionalProducer.note_commit")
STEPS: Final = {
    "before a write": Step(*WRITE, "before", 5),
    "after a write": Step(*WRITE, "after", 5),
    "before a beat has its content": Step("broadcast.sending.beat", "Beats._commit", "before", 4),
    "before the commit": Step(*COMMIT, "before", 4),
    "after the commit": Step(*COMMIT, "after", 4),
}


@pytest.fixture
async def route(kafka_settings: Settings, tmp_path: Path) -> AsyncIterator[RouteUnderTest]:
    async with open_route(kafka_settings, tmp_path, account="window = 200") as built:
        await built.simulator.behave(delay_ms=60)
        yield built


@pytest.mark.parametrize("step", STEPS)
async def test_whoever_got_the_message_of_a_dead_sender_is_never_called_unsent(
    route: RouteUnderTest, step: str
) -> None:
    stopped, expiring = await route.publish(), await route.publish()
    those = {stopped: range(1, COUNT, 2), expiring: range(2, COUNT + 1, 2)}
    for start in range(0, COUNT, 100):
        for alert, recipients in those.items():
            await route.put_jobs(alert, [each for each in recipients if start < each <= start + 100])
    environment = route.environment(slot="a", in_doubt_limit=IN_DOUBT) | STEPS[step].environment()
    first = await start_process(route.directory / "first.log", environment, "-m", "streams", "sender")
    route.processes.append(first)
    assert await first.end(60) == -signal.SIGKILL, first.text()
    await route.cancel(stopped)
    await route.publish(alert_id=expiring, seconds=-1)
    await route.start_sender("a", in_doubt_limit=IN_DOUBT)
    received = await route.simulator.numbers()
    doubted = 0
    for alert, final in ((stopped, Outcome.CANCELLED), (expiring, Outcome.EXPIRED)):
        found = await route.wait_for(those[alert], alert, timeout_seconds=60)
        for recipient, statuses in found.items():
            [status] = statuses
            if received[number_of(recipient)]:
                assert status.outcome in SENT, f"received, and the audit says {status.outcome}"
                doubted += status.outcome is Outcome.UNKNOWN
            assert status.outcome in {*SENT, final}
            assert status.possible_duplicate is (status.outcome is Outcome.UNKNOWN)
        assert final in {status.outcome for statuses in found.values() for status in statuses}
    assert await route.simulator.numbers() == received, "after a stop and an expiry nothing more is sent"
    assert received
    assert doubted or step in {"before a write", "after the commit"}, "the kill left nothing in doubt"
