"""The pool: binds come up, come back, share a rate, and go."""

import asyncio
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from broadcast.clock import epoch_milliseconds
from broadcast.smpp.account import AccountConfig, BindConfig, BindMode, BindModes
from broadcast.smpp.bind_state import TURN_SECONDS, AccountPause, BindPhase, BindState, choose_delay, count_failures
from broadcast.smpp.codec.command_status import BIND_REFUSED, RALYBND, RBINDFAIL, RINVPASWD, RINVSYSID, RSYSERR
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.errors import BindError, LinkLostError, MuteSessionError
from broadcast.smpp.pool import Pool
from broadcast.smpp.rates.pacing import make_sent_count
from broadcast.smsc.server import SmscConfig
from tests.support.scripted_smsc import scripted_smsc
from tests.support.smpp import TEMPLATE, BindChanges, RecordingListener, StartClient
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
    (state,) = pool.bind_states()
    assert isinstance(state.error, BindError)
    assert state.error.retryable
    assert state.failures >= 3
    again = await start(SmscConfig(port=port))
    await eventually(lambda: len(pool.sessions) == 1)
    (state,) = pool.bind_states()
    assert (state.phase, state.error, state.next_attempt_at) == (BindPhase.BOUND, None, None)
    await pool.drain(1.0)
    assert again.smsc.simulator.state.metrics.binds_total == 1


async def test_a_host_that_is_no_name_is_tried_again_like_a_refused_bind(start: StartClient) -> None:
    client = await start()
    config = AccountConfig(name="a", bind=BindConfig(host="smsc..example.net", port=1, system_id="client"))
    pool = Pool(config, client)
    pool.start()
    await eventually(lambda: pool.bind_states()[0].phase is BindPhase.REFUSED)
    (state,) = pool.bind_states()
    assert isinstance(state.error, BindError)
    assert "not a host name" in str(state.error)
    assert not state.error.retryable
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


async def test_the_rate_of_the_account_holds_over_pools_that_follow_one_another(start: StartClient) -> None:
    client = await start(receipts=False, rate_limit=100.0, rate_tolerance=0.02)
    sent = make_sent_count()
    client.offer(1_000)
    pools: list[Pool[int]] = []
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - began < 2.0:
        pool = Pool(account(client.smsc.port, binds=1, rate_per_second=100.0), client, sent=sent)
        pools.append(pool)
        pool.start()
        await asyncio.sleep(0.15)
        await pool.drain(1.0)
    assert len(pools) > 5
    assert 100 < len(client.accepted) <= 310
    assert client.smsc.simulator.describe()["violations"] in ({}, [])


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


async def test_the_state_of_each_bind_is_told_to_people(start: StartClient) -> None:
    client = await start(SmscConfig(password="secret"))
    told: list[BindState] = []
    began = epoch_milliseconds()
    wrong = Pool(account(client.smsc.port, bind={"password": "wrong"}), client, on_bind_state=told.append)
    wrong.start()
    await eventually(lambda: {state.phase for state in wrong.bind_states()} == {BindPhase.REFUSED})
    # Both binds have the same login: the second does not try what the first was refused.
    assert client.smsc.simulator.state.metrics.binds_refused == 1
    for state in wrong.bind_states():
        assert (state.account, state.bind, state.mode) == ("a", state.bind, BindMode.TRANSCEIVER)
        assert "ESME_RINVPASWD" in str(state.error)
        assert began <= state.since <= epoch_milliseconds()
        assert state.next_attempt_at is not None
        assert began + 60_000 <= state.next_attempt_at <= epoch_milliseconds() + 90_000
    assert sorted(told[-2:], key=lambda state: state.bind) == wrong.bind_states()
    await wrong.drain(1.0)
    assert wrong.bind_states() == []

    right = Pool(account(client.smsc.port, binds=1, bind={"password": "secret"}), client, on_bind_state=told.append)
    told.clear()
    right.start()
    await eventually(lambda: told[-1].phase is BindPhase.BOUND)
    client.smsc.simulator.close_links()
    await eventually(lambda: [state.phase for state in told].count(BindPhase.BOUND) == 2)
    (lost,) = (state for state in told if state.phase is BindPhase.WAITING)
    assert isinstance(lost.error, LinkLostError)
    assert lost.since >= told[1].since
    await right.drain(1.0)
    assert [state.phase for state in told] == [
        BindPhase.CONNECTING,
        BindPhase.CONNECTING,
        BindPhase.BOUND,
        BindPhase.WAITING,
        BindPhase.CONNECTING,
        BindPhase.BOUND,
        BindPhase.UNBINDING,
    ]


async def test_after_ralybnd_no_bind_of_the_account_tries_before_the_pause_is_over(start: StartClient) -> None:
    client = await start(max_binds=1)
    config = replace(account(client.smsc.port, binds=4), already_bound_backoff_seconds=2.0)
    pool = Pool(config, client)
    pool.start()
    metrics = client.smsc.simulator.state.metrics
    await eventually(lambda: metrics.binds_refused == 1)
    await eventually(lambda: [state.phase for state in pool.bind_states()].count(BindPhase.WAITING) == 3)
    assert all(
        "ESME_RALYBND" in str(state.error) and state.next_attempt_at is not None
        for state in pool.bind_states()
        if state.phase is BindPhase.WAITING
    )
    assert (metrics.binds_refused, len(pool.sessions)) == (1, 1)
    # Each pause has one attempt; without the shared one each of three binds would try in it.
    loop = asyncio.get_running_loop()
    began = loop.time()
    await eventually(lambda: metrics.binds_refused == 4)
    assert loop.time() - began >= 3 * 2.0 - 1.0
    # There is a place again: it is taken by whichever bind waits, not only by the one that was refused last.
    client.change_behaviour(max_binds=0)
    await eventually(lambda: len(pool.sessions) == 4)
    await pool.drain(1.0)


def test_a_bind_that_is_always_refused_does_not_keep_the_others_from_trying() -> None:
    pause, taken = AccountPause(), BindError("x", retryable=True, command_status=RALYBND)
    tries_at = dict.fromkeys(("one", "two", "three"), 0.0)
    tried: list[str] = []
    while len(tried) < 9:
        name = min(tries_at, key=tries_at.__getitem__)
        now = tries_at[name]
        if not pause.left(name, now):
            tried.append(name)
            pause.note(name, taken, 10.0, now)
        tries_at[name] = now + pause.left(name, now)
    assert tried == ["one", "two", "three"] * 3


@given(
    failures=st.lists(
        st.tuples(
            st.floats(0, 30),
            st.sampled_from(["0", "1", "2"]),
            st.sampled_from([None, RALYBND, RINVPASWD, RBINDFAIL, RSYSERR]),
            st.floats(0.1, 90),
        )
    )
)
def test_a_pause_of_the_account_is_as_long_as_the_longest_that_a_refusal_asks_for(
    failures: list[tuple[float, str, int | None, float]],
) -> None:
    pause, now, until = AccountPause(), 0.0, 0.0
    for passed, bind, status, delay in failures:
        now += passed
        pause.note(bind, BindError("x", retryable=status not in BIND_REFUSED, command_status=status), delay, now)
        if status in {RALYBND, RINVPASWD, RBINDFAIL}:
            until = max(until, now + delay)
        left = [pause.left(each, now) for each in ("0", "1", "2")]
        if now < until:
            assert all(until - now - 1e-6 <= each <= until - now + 3 * TURN_SECONDS + 1e-6 for each in left)
            assert len(set(left)) >= 2
        else:
            assert left == [0.0, 0.0, 0.0]


async def test_the_rate_that_an_smsc_allows_is_told_beside_the_one_that_is_set(start: StartClient) -> None:
    client = await start(receipts=False, rate_cap=100)
    pool = Pool(account(client.smsc.port, binds=2, rate_per_second=1_000.0), client)
    pool.start()
    await eventually(lambda: len(pool.sessions) == 2)
    assert (pool.limit, pool.allowed_rate()) == (1_000.0, 1_000.0)
    client.offer(2_000)
    for session in pool.sessions:
        client.on_room(session)
    await eventually(lambda: (pool.allowed_rate() or 1_000.0) < 500.0)
    assert pool.limit == 1_000.0
    pool.set_rate(None)
    assert pool.limit is None
    await pool.drain(1.0)
    assert pool.allowed_rate() is None


async def test_binds_are_added_and_taken_away_while_submits_are_written_and_nothing_is_lost(start: StartClient) -> None:
    client = await start(receipts=False, delay_ms=5.0)
    config = account(client.smsc.port, binds=1, bind={"window": 20})
    pool = Pool(config, client)
    pool.start()
    await eventually(lambda: len(pool.sessions) == 1)
    client.offer(4000)
    client.on_room(pool.sessions[0])
    for number, binds in enumerate((4, 2, 3, 1), 1):
        await client.until_outcomes(500 * number)
        pool.resize(replace(config, binds=binds))
        await eventually(lambda binds=binds: len(pool.sessions) == binds)  # type: ignore[misc]
        await eventually(lambda binds=binds: len(pool.bind_states()) == binds)  # type: ignore[misc]
    await eventually(lambda: len(client.outcomes) == 4000)
    assert (client.outcomes, client.unknown) == (Counter(range(4000)), [])
    assert client.smsc.simulator.binds_now == 1
    with pytest.raises(ValueError, match="make a new pool"):
        pool.resize(account(client.smsc.port + 1))
    await pool.drain(2.0)
    assert client.smsc.simulator.binds_now == 0


async def test_a_drain_waits_for_answers_and_writes_no_more(start: StartClient) -> None:
    client = await start(receipts=False, delay_ms=200.0)
    pool = Pool(account(client.smsc.port, binds=2, bind={"window": 10}), client)
    pool.start()
    await eventually(lambda: len(pool.sessions) == 2)
    client.offer(100)
    for session in pool.sessions:
        client.on_room(session)
    pool.resize(replace(pool.config, binds=1))
    assert len(pool.sessions) == 1
    await pool.drain(5.0)
    assert (len(client.accepted), client.unknown, pool.sessions) == (20, [], ())


async def test_submits_go_on_transmitters_and_receipts_come_on_receivers(start: StartClient) -> None:
    client = await start()
    config = replace(
        account(client.smsc.port), bind_mode=BindModes.TRANSMITTER_RECEIVER, transmitters=2, receivers=1, binds=7
    )
    pool = Pool(config, client)
    pool.start()
    await eventually(lambda: client.smsc.simulator.binds_now == 3)
    assert [(state.bind, state.mode) for state in pool.bind_states()] == [
        ("tx0", BindMode.TRANSMITTER),
        ("tx1", BindMode.TRANSMITTER),
        ("rx0", BindMode.RECEIVER),
    ]
    await eventually(lambda: len(pool.sessions) == 2)
    client.offer(50)
    for session in pool.sessions:
        client.on_room(session)
    await eventually(lambda: len(client.accepted) == len(client.deliveries) == 50)
    await pool.drain(1.0)


async def test_a_receiver_takes_no_submits(start: StartClient) -> None:
    client = await start()
    session = await client.connect(mode=BindMode.RECEIVER)
    assert session.room == 0
    assert session.submit(TEMPLATE, [b"4915100"], [0]) == 0
    assert client.smsc.simulator.state.metrics.submits == 0


@pytest.mark.parametrize("cap", [1, 3])
async def test_never_more_binds_are_under_way_at_once_than_the_cap(cap: int) -> None:
    async with scripted_smsc(answer_binds=False) as smsc:
        config = replace(account(smsc.port, binds=6, bind={"session_init_seconds": 0.2}), concurrent_binds=cap)
        pool: Pool[int] = Pool(config, RecordingListener())
        pool.start()
        await eventually(lambda: smsc.connections >= 2 * cap + 1)
        assert smsc.highest_open <= cap
        pool.abort()


@pytest.mark.parametrize(
    ("error", "failures", "low", "high"),
    [
        (BindError("x", retryable=True), 1, 0.25, 0.5),
        (BindError("x", retryable=True), 4, 2.0, 4.0),
        (BindError("x", retryable=True), 50, 15.0, 30.0),
        (BindError("x", retryable=True, command_status=RALYBND), 1, 10.0, 12.5),
        (BindError("x", retryable=True, command_status=RALYBND), 50, 10.0, 12.5),
        (BindError("x", retryable=False, command_status=RINVPASWD), 1, 60.0, 90.0),
        (BindError("x", retryable=False, command_status=RINVSYSID), 1, 60.0, 90.0),
        (BindError("x", retryable=False, command_status=RBINDFAIL), 1, 60.0, 90.0),
        (None, 1, 0.25, 0.5),
    ],
)
def test_delays(error: BindError | None, failures: int, low: float, high: float) -> None:
    config = AccountConfig(name="a", bind=BindConfig(host="h", port=1, system_id="x"))
    delays = [choose_delay(config, error, failures, random.Random(seed)) for seed in range(50)]
    assert low <= min(delays) <= max(delays) <= high
    assert len(set(delays)) > 10


def test_binds_that_were_lost_together_come_back_apart() -> None:
    config = AccountConfig(name="a", bind=BindConfig(host="h", port=1, system_id="x"))
    lost = LinkLostError("link lost")
    failures = count_failures(0, 3600.0, 10.0, lost)
    delays = [choose_delay(config, lost, failures, random.Random(seed)) for seed in range(100)]
    assert 0.25 <= min(delays) < 0.3
    assert 0.45 < max(delays) <= 0.5


def test_a_mute_session_comes_back_later_and_later_and_one_that_lasted_comes_back_soon() -> None:
    mute = MuteSessionError("mute", pending=1, given_up=0, seconds=60.0)
    assert [count_failures(failures, 3600.0, 10.0, mute) for failures in range(3)] == [1, 2, 3]
    assert [count_failures(failures, 3600.0, 10.0, None) for failures in range(3)] == [1, 1, 1]
    assert [count_failures(failures, 1.0, 10.0, None) for failures in range(3)] == [1, 2, 3]
