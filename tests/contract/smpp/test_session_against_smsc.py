"""Our session against the simulator over real TCP: windows, outcomes, receipts, faults."""

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from broadcast.smpp.account import BindConfig, BindMode, Tls
from broadcast.smpp.binding import connect
from broadcast.smpp.codec.command_status import RALYBND, RBINDFAIL, RINVPASWD, RINVSYSID, RTHROTTLED, RX_T_APPN
from broadcast.smpp.codec.receipts import MessageIdRule, normalise_receipt_ids, normalise_response_ids, parse_receipt
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.errors import BindError, LinkLostError, ResponseTimeoutError
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.server import SmscConfig, SmscServer

Start = Callable[..., Awaitable[Any]]
CERTIFICATE, KEY = (Path(__file__).with_name(name) for name in ("localhost.pem", "localhost.key.pem"))


def behave(desk: Any, **changes: Any) -> None:
    desk.smsc.simulator.change_behaviour(desk.smsc.simulator.state.behaviour.change(changes))


@pytest.mark.parametrize("window", [1, 10, 64, 1000])
async def test_every_submit_is_answered_and_every_receipt_names_its_message(start: Start, window: int) -> None:
    desk = await start()
    count = 200 if window == 1 else 5000
    desk.offer(count)
    session = await desk.connect(window=window)
    await desk.until(lambda: len(desk.deliveries) == count and len(desk.accepted) == count)
    await session.unbind(2.0)
    assert desk.outcomes == Counter(range(count))
    receipts = {delivery.source: parse_receipt(delivery) for delivery in desk.deliveries}
    for token, message_id in desk.accepted.items():
        receipt = receipts[b"49151%08d" % token]
        assert receipt is not None
        assert receipt.message_id == message_id
    stats = desk.smsc.simulator.describe()
    assert stats["highest_unanswered"] <= window
    assert (stats["unique_destinations"], stats["duplicates"], stats["accepted"]) == (count, 0, count)
    await desk.until(lambda: desk.smsc.simulator.describe()["receipts_answered"] == count)


async def test_the_window_is_full_but_never_over_when_answers_are_slow(start: Start) -> None:
    desk = await start(delay_ms=20.0, receipts=False)
    desk.offer(1000)
    await desk.connect(window=50)
    await desk.until(lambda: len(desk.accepted) == 1000)
    assert desk.smsc.simulator.describe()["highest_unanswered"] == 50


@pytest.mark.parametrize("changes", [{"split_bytes": 7}, {"split_bytes": 1}, {"coalesce_ms": 5.0}])
async def test_however_tcp_cuts_and_joins(start: Start, changes: dict[str, Any]) -> None:
    desk = await start(**changes)
    count = 6 if changes.get("split_bytes") == 1 else 40
    desk.offer(count)
    await desk.connect()
    await desk.until(lambda: len(desk.deliveries) == count)
    assert desk.outcomes == Counter(range(count))
    assert all(parse_receipt(delivery) for delivery in desk.deliveries)


async def test_throttled_submits_come_again_until_each_phone_has_one(start: Start) -> None:
    desk = await start(error_shares={"throttled": 0.2, "0x45": 0.05, "0x0401": 0.05})
    desk.offer(400)
    await desk.connect(window=40)
    seen = 0

    def all_accepted() -> bool:
        nonlocal seen
        again = [token for token, _ in desk.refused[seen:]]
        seen = len(desk.refused)
        for token in again:
            desk.offer(1, first=token)
        return len(desk.accepted) == 400

    await desk.until(all_accepted)
    stats = desk.smsc.simulator.describe()
    assert {status for _, status in desk.refused} == {RTHROTTLED, 0x45, 0x401}
    assert (stats["unique_destinations"], stats["duplicates"]) == (400, 0)
    assert stats["refused"] == len(desk.refused)


async def test_plans_depend_on_the_seed_and_not_on_window_or_order(start: Start) -> None:
    async def refused(seed: int, window: int, backwards: bool) -> set[int]:
        desk = await start(SmscConfig(seed=seed), error_shares={"invdstadr": 0.1}, receipts=False)
        desk.offer(1000)
        if backwards:
            desk.queue.reverse()
        await desk.connect(window=window)
        await desk.until(lambda: len(desk.outcomes) == 1000)
        return {token for token, _ in desk.refused}

    first = await refused(1, 64, False)
    assert 50 < len(first) < 150
    assert await refused(1, 7, True) == first
    assert await refused(2, 64, False) != first


async def test_closed_links_leave_each_token_with_one_outcome(start: Start) -> None:
    desk = await start(delay_ms=3.0)
    desk.offer(3000)
    for _ in range(5):
        await desk.connect(window=100)
        await asyncio.sleep(0.03)
        desk.smsc.simulator.close_links()
        await desk.sessions[-1].closed.wait()
    assert all(isinstance(error, LinkLostError) for error in desk.errors)
    assert desk.unknown
    taken = 3000 - len(desk.queue)
    assert desk.outcomes == Counter(range(taken))
    assert len(desk.accepted) + len(desk.unknown) == taken
    await desk.connect(window=100)
    await desk.until(lambda: len(desk.outcomes) == 3000)
    assert set(desk.outcomes.values()) == {1}


async def test_hanging_answers_are_unknown_and_the_session_goes_on(start: Start) -> None:
    desk = await start(hang_share=0.05)
    desk.offer(500)
    session = await desk.connect(window=64, response_timeout_seconds=0.3)
    await desk.until(lambda: len(desk.outcomes) == 500)
    assert desk.unknown
    assert all(isinstance(error, ResponseTimeoutError) for error in desk.errors)
    assert set(desk.outcomes.values()) == {1}
    assert not session.closed.is_set()
    # The phones had them all the same: what is sent again now arrives twice.
    await desk.until(lambda: len(desk.deliveries) == 500)
    assert desk.smsc.simulator.describe()["unanswered"] == len(desk.unknown)


async def test_late_answers_are_reported_as_late_and_once(start: Start) -> None:
    desk = await start(pause_answers=True)
    desk.offer(20)
    await desk.connect(window=50, response_timeout_seconds=0.2)
    await desk.until(lambda: len(desk.unknown) == 20)
    assert desk.deliveries == []
    behave(desk, pause_answers=False)
    await desk.until(lambda: len(desk.late) == 20 and len(desk.deliveries) == 20)
    assert desk.outcomes == Counter(range(20))
    assert Counter(desk.late) == Counter(range(20))


async def test_a_silent_smsc_is_dropped_after_two_enquire_links(start: Start) -> None:
    desk = await start(silent=False)
    session = await desk.connect(enquire_link_seconds=0.2)
    desk.offer(3)
    await desk.until(lambda: len(desk.accepted) == 3)
    behave(desk, silent=True)
    desk.offer(3, first=3)
    async with asyncio.timeout(3.0):
        await session.closed.wait()
    assert sorted(desk.unknown) == [3, 4, 5]
    assert "enquire_link" in str(desk.errors[-1])


async def test_enquire_link_is_answered_while_busy(start: Start) -> None:
    desk = await start(receipts=False)
    desk.offer(20_000)
    session = await desk.connect(enquire_link_seconds=0.1)
    await desk.until(lambda: len(desk.accepted) == 20_000)
    await asyncio.sleep(0.5)
    assert not session.closed.is_set()
    assert desk.smsc.simulator.state.metrics.enquire_links >= 3


async def test_unbind_by_the_smsc(start: Start) -> None:
    desk = await start()
    session = await desk.connect()
    desk.smsc.simulator.unbind_links()
    async with asyncio.timeout(3.0):
        await session.closed.wait()
    assert session.room == 0


@pytest.mark.parametrize(
    ("system_id", "password", "status", "retryable"),
    [("desk", "wrong", RINVPASWD, False), ("other", "secret", RINVSYSID, False)],
)
async def test_wrong_credentials(start: Start, system_id: str, password: str, status: int, retryable: bool) -> None:
    desk = await start(SmscConfig(system_id="desk", password="secret"))
    with pytest.raises(BindError) as caught:
        await desk.connect(system_id=system_id, password=password)
    assert (caught.value.command_status, caught.value.retryable) == (status, retryable)
    assert password not in str(caught.value)
    await desk.connect(system_id="desk", password="secret")


@pytest.mark.parametrize(("status", "retryable"), [(RALYBND, True), (RBINDFAIL, False), (0x401, True)])
async def test_refused_binds(start: Start, status: int, retryable: bool) -> None:
    desk = await start(refuse_binds=status)
    with pytest.raises(BindError) as caught:
        await desk.connect()
    assert (caught.value.command_status, caught.value.retryable) == (status, retryable)
    await desk.until(lambda: not desk.smsc.simulator.state.connections)
    assert desk.errors == []


async def test_nobody_there_and_nobody_answering(start: Start) -> None:
    desk = await start(silent=True)
    with pytest.raises(BindError, match=r"no answer within 0\.2 s"):
        await desk.connect(session_init_seconds=0.2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(BindError, match="no connection to"):
            await connect(BindConfig(host="127.0.0.1", port=closed.getsockname()[1], system_id="x"), desk)


async def test_tls_is_verified(start: Start) -> None:
    desk = await start(SmscConfig(tls_certificate=CERTIFICATE, tls_key=KEY))
    desk.offer(500)
    with pytest.raises(BindError, match=r"TLS with .* failed"):
        await desk.connect(tls=Tls())
    with pytest.raises(BindError, match=r"TLS with .* failed"):
        await desk.connect(tls=Tls(ca_file=CERTIFICATE, server_name="elsewhere.example"))
    await desk.connect(tls=Tls(ca_file=CERTIFICATE, server_name="localhost"))
    await desk.until(lambda: len(desk.deliveries) == 500)
    assert desk.outcomes == Counter(range(500))


async def test_receipts_first_twice_and_for_unknown_ids(start: Start) -> None:
    desk = await start(receipt_first_share=1.0, receipt_twice_share=1.0, receipt_unknown_share=1.0)
    desk.offer(10)
    await desk.connect()
    await desk.until(lambda: len(desk.deliveries) == 30)
    assert desk.events[0] == "deliveries" or desk.events.index("deliveries") < len(desk.events)
    seen = Counter(receipt.message_id for each in desk.deliveries if (receipt := parse_receipt(each)))
    assert sorted(seen.values()) == [1] * 10 + [2] * 10
    assert {message_id for message_id, count in seen.items() if count == 2} == set(desk.accepted.values())


async def test_a_receipt_can_come_before_the_response(start: Start) -> None:
    desk = await start(receipt_first_share=1.0, delay_ms=100.0)
    desk.offer(10)
    await desk.connect()
    await desk.until(lambda: len(desk.accepted) == 10)
    assert desk.events[0] == "deliveries"


async def test_undelivered_share_and_receipts_on_failure_only(start: Start) -> None:
    desk = await start(undelivered_share=0.3)
    desk.offer(300, template=SubmitTemplate(source=b"T", text=b"x", registered_delivery=2))
    await desk.connect()
    await desk.until(lambda: len(desk.accepted) == 300)
    await asyncio.sleep(0.1)
    states = Counter(receipt.state.name for each in desk.deliveries if (receipt := parse_receipt(each)))
    assert list(states) == ["UNDELIVERABLE"]
    assert 50 < states["UNDELIVERABLE"] < 140


async def test_unanswered_receipts_come_again_on_the_next_bind_of_the_account(start: Start) -> None:
    desk = await start()
    desk.answer_status = None
    desk.offer(100)
    session = await desk.connect()
    await desk.until(lambda: len(desk.deliveries) == 100)
    first = {delivery.short_message for delivery in desk.deliveries}
    session.abort()
    await session.closed.wait()
    desk.answer_status = 0
    await desk.connect(system_id="somebody else")
    await asyncio.sleep(0.05)
    assert len(desk.deliveries) == 100
    await desk.connect()
    await desk.until(lambda: len(desk.deliveries) == 200)
    assert {delivery.short_message for delivery in desk.deliveries[100:]} == first
    await desk.until(lambda: desk.smsc.simulator.state.metrics.receipts_answered == 100)
    assert desk.smsc.simulator.state.metrics.receipts_resent == 100


async def test_receipts_refused_for_now_come_again(start: Start) -> None:
    desk = await start(receipt_retry_ms=50.0)
    desk.answer_status = RX_T_APPN
    desk.offer(5)
    await desk.connect()
    await desk.until(lambda: len(desk.deliveries) == 5)
    desk.answer_status = 0
    await desk.until(lambda: len(desk.deliveries) == 10)
    await desk.until(lambda: desk.smsc.simulator.state.metrics.receipts_answered == 5)


async def test_an_smsc_that_allows_one_unanswered_receipt(start: Start) -> None:
    desk = await start(receipt_window=1)
    desk.offer(50)
    await desk.connect()
    await desk.until(lambda: len(desk.deliveries) == 50)


async def test_receipts_come_to_a_receiver_bind(start: Start) -> None:
    desk = await start()
    await desk.connect(mode=BindMode.TRANSMITTER)
    desk.offer(10)
    await desk.until(lambda: len(desk.accepted) == 10)
    await asyncio.sleep(0.05)
    assert desk.deliveries == []
    await desk.connect(mode=BindMode.RECEIVER)
    await desk.until(lambda: len(desk.deliveries) == 10)


async def test_hex_in_the_response_and_decimal_in_the_receipt(start: Start) -> None:
    desk = await start(message_id_format="hex", receipt_id_format="decimal", receipt_tlvs=False)
    desk.offer(40)
    await desk.connect()
    await desk.until(lambda: len(desk.deliveries) == 40)
    rule = MessageIdRule.HEX_TO_DECIMAL
    receipts = [receipt.message_id for each in desk.deliveries if (receipt := parse_receipt(each))]
    assert set(receipts) != set(desk.accepted.values())
    assert set(normalise_receipt_ids(receipts, rule)) == set(normalise_response_ids(desk.accepted.values(), rule))


async def test_ids_as_uuid_and_ids_that_begin_again(start: Start) -> None:
    desk = await start(message_id_format="uuid")
    desk.offer(10)
    await desk.connect()
    await desk.until(lambda: len(desk.deliveries) == 10)
    assert {len(message_id) for message_id in desk.accepted.values()} == {36}
    behave(desk, message_id_format="decimal", message_id_modulus=5)
    desk.offer(10, first=10)
    await desk.until(lambda: len(desk.accepted) == 20)
    assert len({desk.accepted[token] for token in range(10, 20)}) == 5


async def test_the_window_cap_throttles(start: Start) -> None:
    desk = await start(window_cap=10, delay_ms=10.0)
    desk.offer(30)
    await desk.connect(window=30)
    await desk.until(lambda: len(desk.outcomes) == 30)
    assert (len(desk.accepted), {status for _, status in desk.refused}) == (10, {RTHROTTLED})


async def test_the_rate_cap_throttles(start: Start) -> None:
    desk = await start(rate_cap=20)
    desk.offer(60)
    await desk.connect(window=60)
    await desk.until(lambda: len(desk.outcomes) == 60)
    # Written at one instant, which may be the end of a second.
    assert 20 <= len(desk.accepted) <= 40
    assert {status for _, status in desk.refused} == {RTHROTTLED}


async def test_segments_are_no_duplicates_but_the_message_sent_again_is(start: Start) -> None:
    desk = await start()

    def segments(reference: int) -> list[SubmitTemplate]:
        return [
            SubmitTemplate(
                source=b"T", esm_class=0x40, text=bytes([6, 8, 4, 0, reference, 3, number]) + b"part %d" % number
            )
            for number in (1, 2, 3)
        ]

    desk.group = 3
    await desk.connect(window=31)
    for reference in (1, 2):
        desk.queue += [
            (template, b"49151%08d" % number, reference * 10_000 + number * 3 + index)
            for number in range(100)
            for index, template in enumerate(segments(reference))
        ]
        desk.on_room(desk.sessions[0])
        await desk.until(lambda expected=reference * 300: len(desk.accepted) == expected)
        stats = desk.smsc.simulator.describe()
        assert (stats["unique_destinations"], stats["duplicates"]) == (100, 0 if reference == 1 else 300)
    desk.group = 1
    desk.offer(100)
    await desk.until(lambda: desk.smsc.simulator.describe()["submits"] == 700)
    stats = desk.smsc.simulator.describe()
    assert (stats["duplicates"], stats["duplicate_destinations"]) == (300, 400)


async def test_bodies_of_refusals_may_be_there_or_not(start: Start) -> None:
    desk = await start(error_shares={"submitfail": 1.0}, error_body="none")
    desk.offer(5)
    await desk.connect()
    await desk.until(lambda: len(desk.refused) == 5)
    behave(desk, error_body="empty")
    desk.offer(5, first=5)
    await desk.until(lambda: len(desk.refused) == 10)


async def test_rate_is_kept(start: Start) -> None:
    desk = await start(receipts=False)
    desk.offer(300)
    await desk.connect(rate_per_second=200.0)
    began = asyncio.get_running_loop().time()
    await desk.until(lambda: len(desk.accepted) == 300)
    assert asyncio.get_running_loop().time() - began >= (300 - 20) / 200 - 0.05


def test_behaviour_names_what_is_wrong() -> None:
    cases: tuple[tuple[dict[str, object], str], ...] = (
        ({"hang_share": 1.5}, "hang_share=1.5"),
        ({"hang": 1}, "unknown field `hang`"),
        ({"error_shares": {"nonsense": 0.1}}, "nonsense"),
        ({"error_shares": {"throttled": 0.7}, "hang_share": 0.5}, "together exceed 1"),
        ({"delay_ms": -1}, "delay_ms=-1"),
    )
    for changes, message in cases:
        with pytest.raises(Exception, match=message):
            Behaviour().change(changes)


def test_the_same_on_uvloop_whose_clock_stands_still_within_a_turn(desk_class: Any) -> None:
    async def run() -> None:
        server = await SmscServer.start(
            SmscConfig(tls_certificate=CERTIFICATE, tls_key=KEY),
            Behaviour(error_shares={"throttled": 0.3}, receipts=False),
        )
        desk = desk_class(server)
        desk.offer(600)
        tls = Tls(ca_file=CERTIFICATE, server_name="localhost")
        for _ in range(3):
            session = await desk.connect(window=20, rate_per_second=2000.0, tls=tls)
            await asyncio.sleep(0.02)
            session.abort()
            await session.closed.wait()
        session = await desk.connect(window=20, rate_per_second=2000.0, tls=tls)
        await desk.until(lambda: len(desk.outcomes) == 600)
        assert set(desk.outcomes.values()) == {1}
        await session.unbind(2.0)
        await server.stop()

    uvloop.run(run())
