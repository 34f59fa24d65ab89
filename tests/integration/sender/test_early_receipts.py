"""Receipts that come before the answers to their submits, while the routes are reloaded and the account binds anew."""

import asyncio
import signal
from collections import Counter
from pathlib import Path

import pytest

from broadcast.settings import Settings
from schemas.lane import Lane
from schemas.receipt import Receipt
from schemas.status import Outcome
from tests.support.sender_setup import RouteUnderTest, number_of, open_route
from tests.support.waiting import eventually

BEFORE = range(1, 21)
"""Submitted by the binds before the reload."""
AFTER = range(21, 31)
EVERYBODY = range(1, 31)
ACCOUNT = "response_timeout_seconds = 3\nwindow = 100"


async def bind_anew(route: RouteUnderTest) -> None:
    """Reload the routes with another window, which needs other sessions."""
    [sender], routes = route.processes, route.settings.routes_file
    assert routes is not None
    routes.write_text(routes.read_text().replace("window = 100", "window = 90"))
    sender.send(signal.SIGHUP)

    async def reloaded() -> bool:
        return "routes_reloaded" in sender.text()

    await eventually(reloaded, "the routes are reloaded")


@pytest.mark.parametrize("answer", ["answer.never = true", "answer.delay_seconds = 2"])
async def test_receipts_that_came_before_a_reload_settle_their_submits_and_nobody_gets_two_copies(
    kafka_settings: Settings, tmp_path: Path, answer: str
) -> None:
    rule = f'[[rules]]\n{answer}\nreceipt = {{ delay_seconds = 0.3, text = "seconds", early = true }}\n'
    if "never" in answer:
        rule = rule.replace(", early = true", "")
    delays = "delays_seconds = [1, 3]"
    async with open_route(kafka_settings, tmp_path, account=ACCOUNT, route=delays, profile=rule) as route:
        sender = await route.start_sender()
        alert = await route.publish(lane=Lane.IMMEDIATE)
        await route.put_jobs(alert, BEFORE, lane=Lane.IMMEDIATE)
        await route.until_submitted(len(BEFORE))

        async def received() -> bool:
            return len(await route.records(route.names.receipts, Receipt)) == len(BEFORE)

        await eventually(received, "all receipts came")
        assert await route.statuses() == [], "no submit is answered yet"
        await bind_anew(route)
        await route.put_jobs(alert, AFTER, lane=Lane.IMMEDIATE)

        async def accepted() -> bool:
            found = await route.statuses()
            return {s.recipient_id for s in found if s.outcome is Outcome.ACCEPTED} == set(EVERYBODY)

        await eventually(accepted, "everybody is accepted", within_seconds=40)
        # Longer than until a resend would be sent.
        await asyncio.sleep(6)
        assert await route.simulator.numbers() == Counter({number_of(recipient): 1 for recipient in EVERYBODY})
        statuses = await route.statuses()
        assert not any(status.possible_duplicate for status in statuses)
        if "never" in answer:
            reasons = {status.reason for status in statuses if status.outcome is Outcome.ACCEPTED}
            assert reasons == {"no answer; a receipt says that the SMSC has it"}
        else:
            assert {status.outcome for status in statuses} == {Outcome.ACCEPTED}
        assert not any(position.pending for position in (await route.positions()).values())
        assert await sender.stop() == 0
