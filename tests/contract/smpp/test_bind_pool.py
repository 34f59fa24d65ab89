"""The pool: binds come up, come back, share a rate, and go."""

import asyncio
import random
from collections import Counter
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from broadcast.smpp.account import AccountConfig, BindConfig
from broadcast.smpp.codec.command_status import RALYBND, RINVPASWD
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.errors import BindError
from broadcast.smpp.bind_state import choose_delay
from broadcast.smpp.pool import Pool
from broadcast.smsc.server import SmscConfig
from tests.support.smpp import BindChanges, StartClient
from tests.support.waiting import eventually


def account(
    port: int, binds: int = 2, bind: BindChanges | None = None, rate_per_second: float | None = None
) -> AccountConfig:
    config = replace(BindConfig(host="127.0.0.1", port=port, system_id="client"), **(bind or {}))
    return AccountConfig(name="a", bind=config, binds=binds, backoff_seconds=0.02, rate_per_second=rate_per_second)


async def test_binds_come_up_and_come_back_and_nothing_is_counted_twice(start: StartClient) -> None:
    client = await start(receipts=False, delay_ms=1.0)
    pool = Pool(account(client.smsc.port, binds=3, bind={"window": 50}), client)
    pool.start()
    with pytest.raises(RuntimeError, match="twice"):
        pool.start()
    await eventually(lambda: len(pool.sessions) == 3)
    client.offer(5000)
    for session in pool.sessions:
        client.on_room(session)
    metrics = client.smsc.simulator.state.metrics

    async def lose_and_bind_again() -> None:
        wanted = metrics.binds_total + 3
        client.smsc.simulator.close_links()
        await eventually(lambda: metrics.binds_total == wanted and len(pool.sessions) == 3)

    for number in range(1, 4):
        await client.until_outcomes(500 * number)
        await lose_and_bind_again()
    await eventually(lambda: len(client.outcomes) == 5000)
    assert client.outcomes == Counter(range(5000))
    await pool.drain(2.0)
    assert pool.sessions == ()
    await eventually(lambda: client.smsc.simulator.binds_now == 0)


async def test_an_smsc_that_is_away_is_waited_for(start: StartClient) -> None:
    client = await start()
    port = client.smsc.port
    await client.smsc.stop()
    pool = Pool(account(port, binds=1), client)
    with capture_logs() as events:
        pool.start()
        await eventually(lambda: [event["event"] for event in events].count("bind_failed") >= 3)
    assert {event["log_level"] for event in events} == {"warning"}
    assert pool.last_error is not None
    assert pool.last_error.retryable
    again = await start(SmscConfig(port=port))
    await eventually(lambda: len(pool.sessions) == 1)
    assert pool.last_error is None
    await pool.drain(1.0)
    assert again.smsc.simulator.state.metrics.binds_total == 1


async def test_a_host_that_is_no_name_is_tried_again_like_a_refused_bind(start: StartClient) -> None:
    client = await start()
    config = AccountConfig(name="a", bind=BindConfig(host="smsc..example.net", port=1, system_id="client"))
    pool = Pool(config, client)
    pool.start()
    await eventually(lambda: pool.last_error is not None)
    assert isinstance(pool.last_error, BindError)
    assert "not a host name" in str(pool.last_error)
    assert not pool.last_error.retryable
    await pool.drain(1.0)


async def test_a_wrong_password_is_tried_again_after_a_long_pause(start: StartClient) -> None:
    client = await start(SmscConfig(password="secret"))
    pool = Pool(account(client.smsc.port, binds=1, bind={"password": "wrong"}), client)
    with capture_logs() as events:
        pool.start()
        await eventually(lambda: events)
    assert [event["event"] for event in events] == ["bind_failed"]
    assert events[0]["next_attempt_seconds"] >= 60.0
    await pool.drain(1.0)
    assert client.smsc.simulator.state.metrics.binds_refused == 1


async def test_the_rate_of_the_account_holds_over_all_binds(start: StartClient) -> None:
    client = await start(receipts=False)
    pool = Pool(account(client.smsc.port, binds=3, rate_per_second=300.0), client)
    pool.start()
    await eventually(lambda: len(pool.sessions) == 3)
    client.offer(300)
    began = asyncio.get_running_loop().time()
    for session in pool.sessions:
        client.on_room(session)
    await eventually(lambda: len(client.accepted) == 300)
    assert asyncio.get_running_loop().time() - began >= (300 - 30) / 300 - 0.05
    pool.set_rate(None)
    client.offer(2000, first=300)
    for session in pool.sessions:
        client.on_room(session)
    await eventually(lambda: len(client.accepted) == 2300)
    await pool.drain(1.0)


async def test_each_bind_has_a_window_of_its_own(start: StartClient) -> None:
    client = await start(delay_ms=50.0)
    pool = Pool(account(client.smsc.port, binds=2, bind={"window": 10}), client)
    pool.start()
    await eventually(lambda: len(pool.sessions) == 2)
    template = SubmitTemplate(source=b"T", text=b"x")
    taken = 0
    for session in pool.sessions:
        taken += session.submit(template, [b"4915%04d" % number for number in range(taken, 25)], range(taken, 25))
    assert taken == 20
    assert [session.unanswered for session in pool.sessions] == [10, 10]
    await pool.drain(2.0)
    assert client.outcomes == Counter(range(20))
    assert len(client.accepted) == 20


@pytest.mark.parametrize(
    ("error", "failures", "low", "high"),
    [
        (BindError("x", retryable=True), 1, 0.25, 0.5),
        (BindError("x", retryable=True), 4, 2.0, 4.0),
        (BindError("x", retryable=True), 50, 15.0, 30.0),
        (BindError("x", retryable=True, command_status=RALYBND), 1, 10.0, 12.5),
        (BindError("x", retryable=False, command_status=RINVPASWD), 1, 60.0, 90.0),
        (None, 1, 0.25, 0.5),
    ],
)
def test_delays(error: BindError | None, failures: int, low: float, high: float) -> None:
    config = AccountConfig(name="a", bind=BindConfig(host="h", port=1, system_id="x"))
    delays = [choose_delay(config, error, failures, random.Random(seed)) for seed in range(50)]
    assert low <= min(delays) <= max(delays) <= high
    assert len(set(delays)) > 10
