"""Submits against the simulator over real TCP: windows, outcomes, rates, faults."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import uvloop

from broadcast.smpp.account import Tls
from broadcast.smpp.codec.command_status import RTHROTTLED
from broadcast.smpp.codec.receipts import parse_receipt
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.errors import BindError, LinkLostError, MuteSessionError, ResponseTimeoutError
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.server import SmscConfig, SmscServer
from tests.support.smpp import RecordingClient, StartClient
from tests.support.waiting import eventually

CERTIFICATE, KEY = (Path(__file__).with_name(name) for name in ("localhost.pem", "localhost.key.pem"))


async def test_the_window_is_full_but_never_over_when_answers_are_slow(start: StartClient) -> None:
    client = await start(delay_ms=20.0, receipts=False)
    client.offer(1000)
    await client.connect(window=50)
    await eventually(lambda: len(client.accepted) == 1000)
    assert client.smsc.simulator.describe()["highest_unanswered"] == 50


@pytest.mark.parametrize("changes", [{"split_bytes": 7}, {"split_bytes": 1}, {"coalesce_ms": 5.0}])
async def test_however_tcp_cuts_and_joins(start: StartClient, changes: dict[str, Any]) -> None:
    client = await start(**changes)
    count = 6 if changes.get("split_bytes") == 1 else 40
    client.offer(count)
    await client.connect()
    await eventually(lambda: len(client.deliveries) == count)
    assert client.outcomes == Counter(range(count))
    assert all(parse_receipt(delivery) for delivery in client.deliveries)


async def test_throttled_submits_come_again_until_each_phone_has_one(start: StartClient) -> None:
    client = await start(error_shares={"throttled": 0.05, "0x45": 0.05, "0x0401": 0.05})
    client.offer(400)
    await client.connect(window=40)
    seen = 0

    def all_accepted() -> bool:
        nonlocal seen
        again = [token for token, _ in client.refused[seen:]]
        seen = len(client.refused)
        for token in again:
            client.offer(1, first=token)
        return len(client.accepted) == 400

    await eventually(all_accepted)
    stats = client.smsc.simulator.describe()
    assert {status for _, status in client.refused} == {RTHROTTLED, 0x45, 0x401}
    assert (stats["unique_destinations"], stats["duplicates"]) == (400, 0)
    assert stats["refused"] == len(client.refused)


async def test_plans_depend_on_the_seed_and_not_on_window_or_order(start: StartClient) -> None:
    async def refused(seed: int, window: int, backwards: bool) -> set[int]:
        client = await start(SmscConfig(seed=seed), error_shares={"invdstadr": 0.1}, receipts=False)
        client.offer(1000)
        if backwards:
            client.queue.reverse()
        await client.connect(window=window)
        await eventually(lambda: len(client.outcomes) == 1000)
        return {token for token, _ in client.refused}

    first = await refused(1, 64, False)
    assert 50 < len(first) < 150
    assert await refused(1, 7, True) == first
    assert await refused(2, 64, False) != first


async def test_closed_links_leave_each_token_with_one_outcome(start: StartClient) -> None:
    client = await start(delay_ms=3.0)
    client.offer(3000)
    for number in range(1, 6):
        await client.connect(window=100)
        await client.until_outcomes(300 * number)
        client.smsc.simulator.close_links()
        await client.sessions[-1].closed.wait()
    assert all(isinstance(error, LinkLostError) for error in client.errors)
    assert client.unknown
    taken = 3000 - len(client.queue)
    assert client.outcomes == Counter(range(taken))
    assert len(client.accepted) + len(client.unknown) == taken
    await client.connect(window=100)
    await eventually(lambda: len(client.outcomes) == 3000)
    assert set(client.outcomes.values()) == {1}


async def test_hanging_answers_are_unknown_and_the_session_goes_on(start: StartClient) -> None:
    client = await start(hang_share=0.01)
    client.offer(500)
    session = await client.connect(window=64, response_timeout_seconds=0.5)
    await eventually(lambda: client.smsc.simulator.state.metrics.submits == 500)
    # This one is answered, after all that were not.
    client.change_behaviour(hang_share=0.0)
    client.offer(1, first=500)
    await eventually(lambda: len(client.outcomes) == 501)
    assert client.unknown
    assert {type(error) for error in client.errors} == {ResponseTimeoutError}, client.errors
    assert set(client.outcomes.values()) == {1}
    assert not session.closed.is_set()
    # The phones had them all the same: what is sent again now arrives twice.
    await eventually(lambda: len(client.deliveries) == 501)
    assert client.smsc.simulator.describe()["unanswered"] == len(client.unknown) == session.unanswered


async def test_answers_slower_than_the_response_timeout_but_in_order_make_no_unknown(start: StartClient) -> None:
    # 1.07 x the response timeout: 32 s for 30 s.
    client = await start(delay_ms=320.0, receipts=False)
    client.offer(50)
    session = await client.connect(window=10, response_timeout_seconds=0.3)
    highest = 0

    def all_answered() -> bool:
        nonlocal highest
        highest = max(highest, session.unanswered)
        return len(client.outcomes) == 50

    await eventually(all_answered)
    stats = client.smsc.simulator.describe()
    assert (stats["submits"], stats["duplicates"], stats["highest_unanswered"], highest) == (50, 0, 10, 10)
    assert (client.unknown, client.late, client.errors) == ([], [], [])
    assert len(client.accepted) == 50


async def test_a_mute_smsc_that_still_answers_enquire_links_loses_its_session(start: StartClient) -> None:
    client = await start(pause_answers=True)
    client.offer(100)
    session = await client.connect(window=10, response_timeout_seconds=0.3, enquire_link_seconds=0.2)
    await client.until_enquire_link()
    await session.closed.wait()
    (error,) = client.errors
    assert isinstance(error, MuteSessionError)
    assert (error.pending, error.given_up) == (10, 0)
    assert sorted(client.unknown) == list(range(10))
    assert client.smsc.simulator.describe()["highest_unanswered"] == 10


async def test_the_window_cap_throttles(start: StartClient) -> None:
    client = await start(window_cap=10, delay_ms=10.0)
    client.offer(30)
    await client.connect(window=30)
    await eventually(lambda: len(client.outcomes) == 30)
    assert (len(client.accepted), {status for _, status in client.refused}) == (10, {RTHROTTLED})


async def test_the_rate_cap_throttles(start: StartClient) -> None:
    client = await start(rate_cap=20)
    client.offer(60)
    await client.connect(window=60)
    await eventually(lambda: len(client.outcomes) == 60)
    # Written at one instant, which may be the end of a second.
    assert 20 <= len(client.accepted) <= 40
    assert {status for _, status in client.refused} == {RTHROTTLED}


async def test_segments_are_no_duplicates_but_the_message_sent_again_is(start: StartClient) -> None:
    client = await start()

    def segments(reference: int) -> list[SubmitTemplate]:
        return [
            SubmitTemplate(
                source=b"T", esm_class=0x40, text=bytes([6, 8, 4, 0, reference, 3, number]) + b"part %d" % number
            )
            for number in (1, 2, 3)
        ]

    client.group = 3
    await client.connect(window=31)
    for reference in (1, 2):
        client.queue += [
            (template, b"49151%08d" % number, reference * 10_000 + number * 3 + index)
            for number in range(100)
            for index, template in enumerate(segments(reference))
        ]
        client.on_room(client.sessions[0])
        await client.until_outcomes(reference * 300)
        assert len(client.accepted) == reference * 300
        stats = client.smsc.simulator.describe()
        assert (stats["unique_destinations"], stats["duplicates"]) == (100, 0 if reference == 1 else 300)
    client.group = 1
    client.offer(100)
    await eventually(lambda: client.smsc.simulator.describe()["submits"] == 700)
    stats = client.smsc.simulator.describe()
    assert (stats["duplicates"], stats["duplicate_destinations"]) == (300, 400)


async def test_bodies_of_refusals_may_be_there_or_not(start: StartClient) -> None:
    client = await start(error_shares={"submitfail": 1.0}, error_body="none")
    client.offer(5)
    await client.connect()
    await eventually(lambda: len(client.refused) == 5)
    client.change_behaviour(error_body="empty")
    client.offer(5, first=5)
    await eventually(lambda: len(client.refused) == 10)


async def test_rate_is_kept(start: StartClient) -> None:
    client = await start(receipts=False)
    client.offer(300)
    began = asyncio.get_running_loop().time()
    await client.connect(rate_per_second=200.0)
    await eventually(lambda: len(client.accepted) == 300)
    assert asyncio.get_running_loop().time() - began >= (300 - 20) / 200 - 0.05


def test_the_same_on_uvloop_whose_clock_stands_still_within_a_turn() -> None:
    async def run() -> None:
        server = await SmscServer.start(
            SmscConfig(tls_certificate=CERTIFICATE, tls_key=KEY),
            Behaviour(error_shares={"throttled": 0.3}, receipts=False),
        )
        client = RecordingClient(server)
        client.offer(600)
        tls = Tls(ca_file=CERTIFICATE, server_name="localhost")
        for number in range(1, 4):
            session = await client.connect(window=20, rate_per_second=2000.0, tls=tls)
            await client.until_outcomes(40 * number)
            session.abort()
            await session.closed.wait()
        session = await client.connect(window=20, rate_per_second=2000.0, tls=tls)
        await eventually(lambda: len(client.outcomes) == 600)
        assert set(client.outcomes.values()) == {1}
        await session.unbind(2.0)
        await server.stop()

    uvloop.run(run())


@pytest.mark.parametrize("form", ["standard", "no_nul", "unknown_tlvs", "malformed_tlvs"])
async def test_the_simulator_is_known_by_its_name(start: StartClient, form: str) -> None:
    client = await start(bind_response=form)
    client.offer(1)
    with pytest.raises(BindError, match="is the SMSC simulator of Tocsin") as refused:
        await client.connect(simulator_allowed=False)
    assert not refused.value.retryable
    assert client.smsc.simulator.describe()["submits"] == 0
    await client.connect()
    await eventually(lambda: len(client.accepted) == 1)
