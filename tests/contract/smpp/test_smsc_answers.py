"""Profiles on the wire, answers: when, in which order, with which status and body, or not at all."""

import time

import pytest

from broadcast.smpp.codec.command_status import STATUS_NAMES
from broadcast.smpp.codec.pdu import ENQUIRE_LINK, GENERIC_NACK, SUBMIT_SM_RESP
from broadcast.smpp.codec.tlv import parse_tlvs
from tests.support.raw_smpp import RawClient, StartProfile
from tests.support.waiting import eventually


async def test_a_constant_delay_is_of_these_numbers_only(play: StartProfile) -> None:
    started = await play('[[rules]]\nprefixes = ["49151"]\nanswer.delay_seconds = 0.3')
    client = await started.bind()
    slow, fast = client.submit("491511"), client.submit("491611")
    await client.response(fast)
    assert [pdu.sequence for pdu in client.responses] == [fast]
    await client.response(slow)


async def test_delays_of_two_kinds_come_out_by_their_shares(play: StartProfile) -> None:
    started = await play("[[rules]]\nanswer.delay_seconds = { share = 0.5, seconds = 60, otherwise = 0.0 }")
    client = await started.bind()
    for number in range(200):
        client.submit(f"49151{number:03}")
    await client.response(client.send(ENQUIRE_LINK))
    assert 60 < len(client.responses) < 140
    assert started.smsc.simulator.describe()["highest_unanswered"] == 200


@pytest.mark.parametrize("order", ["due", "submitted", "reversed", "shuffled"])
async def test_the_order_of_answers(play: StartProfile, order: str) -> None:
    started = await play(f"""
behaviour.answer_order = "{order}"
[[rules]]
numbers = ["491510"]
answer.delay_seconds = 0.2
[[rules]]
answer.delay_seconds = 0.1
""")
    client = await started.bind()
    sequences = [client.submit(f"49151{number}") for number in range(8)]
    for sequence in sequences:
        await client.response(sequence)
    came = [pdu.sequence for pdu in client.responses]
    expected = {
        "due": [*sequences[1:], sequences[0]],
        "submitted": sequences,
        "reversed": [*reversed(sequences[1:]), sequences[0]],
    }
    if order in expected:
        assert came == expected[order]
    else:
        assert came[-1] == sequences[0]
        assert came not in expected.values()
        assert sorted(came) == sequences


async def test_throttling_by_sliding_second(play: StartProfile) -> None:
    started = await play("behaviour.rate_cap = 5")
    client = await started.bind()
    began = time.monotonic()
    statuses: list[tuple[float, float, int]] = []
    while (sent_at := time.monotonic()) - began < 2.2:
        answer = await client.response(client.submit("491511"))
        statuses.append((sent_at, time.monotonic(), answer.status))
    assert {status for *_, status in statuses} == {0, 0x58}
    accepted = [(sent_at, answered_at) for sent_at, answered_at, status in statuses if status == 0]
    assert len(accepted) >= 10
    # The simulator decided between these instants, so no pause of this machine makes six of a second.
    for (sent_at, _), (_, answered_at) in zip(accepted, accepted[5:], strict=False):
        assert answered_at - sent_at >= 0.999


async def test_throttling_by_window(play: StartProfile) -> None:
    started = await play("behaviour.window_cap = 2\nbehaviour.delay_ms = 50")
    client = await started.bind()
    sequences = [client.submit(f"49151{number}") for number in range(3)]
    assert [(await client.response(each)).status for each in sequences] == [0, 0, 0x58]


async def test_throttling_by_number(play: StartProfile) -> None:
    started = await play('behaviour = { number_cap = 1, number_cap_seconds = 0.3, number_cap_status = "throttled" }')
    client = await started.bind()

    async def status(number: str) -> int:
        return (await client.response(client.submit(number))).status

    assert [await status(number) for number in ("491511", "491511", "491512")] == [0, 0x58, 0]

    async def accepted_again() -> bool:
        return await status("491511") == 0

    await eventually(accepted_again)


@pytest.mark.parametrize("body", ["none", "empty", "id", "garbage"])
async def test_every_status_with_and_without_a_body(play: StartProfile, body: str) -> None:
    statuses = [*(number for number in STATUS_NAMES if number), 0x400, 0x4FF, 0x10000, 0xFFFFFFFF]
    rules = "\n".join(
        f'[[rules]]\nnumbers = ["49151{status:010}"]\nanswer = {{ status = {status}, body = "{body}" }}'
        for status in statuses
    )
    client = await (await play(rules)).bind()
    for status in statuses:
        answer = await client.response(client.submit(f"49151{status:010}"))
        assert (answer.command, answer.status) == (SUBMIT_SM_RESP, status)
        assert (answer.body == b"", answer.body == b"\0") == (body == "none", body == "empty")


async def test_a_generic_nack_for_a_submit_and_the_same_message_accepted_later(play: StartProfile) -> None:
    started = await play('[[rules]]\nfirst = 1\nanswer = { status = "throttled", nack = true }')
    client = await started.bind()
    first = client.submit("491511")
    answer = await client.response(first)
    assert answer == (GENERIC_NACK, 0x58, first, b"")
    assert (await client.response(client.submit("491511"))).status == 0


@pytest.mark.parametrize("takes", [True, False])
async def test_a_submit_that_is_never_answered_and_what_the_phone_gets(play: StartProfile, takes: bool) -> None:
    started = await play(f"[[rules]]\nfirst = 1\nanswer = {{ never = true, takes = {str(takes).lower()} }}")
    client = await started.bind()
    lost = client.submit("491511")
    if takes:
        assert b"stat:DELIVRD" in (await client.deliveries(1))[0].body
    assert (await client.response(client.submit("491511"))).status == 0
    assert lost not in [pdu.sequence for pdu in client.responses]
    stats = started.smsc.simulator.describe()
    assert (stats["unanswered"], stats["duplicates"]) == (1, int(takes))


async def test_an_answer_that_comes_twice(play: StartProfile) -> None:
    client = await (await play("[[rules]]\nanswer.times = 2")).bind()
    sequence = client.submit("491511", registered_delivery=0)
    await client.response(sequence)
    await client.response(client.send(ENQUIRE_LINK))
    assert [pdu.sequence for pdu in client.pdus].count(sequence) == 2


@pytest.mark.parametrize(("tlvs", "readable"), [("unknown", True), ("malformed", False)])
async def test_optional_parameters_of_an_answer(play: StartProfile, tlvs: str, readable: bool) -> None:
    client = await (await play(f'[[rules]]\nanswer.tlvs = "{tlvs}"')).bind()
    answer = await client.response(client.submit("491511"))
    message_id, _, optional = answer.body.partition(b"\0")
    assert len(message_id) == 10
    if readable:
        assert set(parse_tlvs(optional)) == {0x1500}
    else:
        with pytest.raises(Exception, match="wants 65535 octets"):
            parse_tlvs(optional)


@pytest.mark.parametrize(("cut", "answers", "rest"), [("before", 0, 0), ("in", 0, 8), ("after", 1, 0)])
async def test_a_connection_that_ends_at_an_answer(play: StartProfile, cut: str, answers: int, rest: int) -> None:
    started = await play(f'[[rules]]\nnumbers = ["491512"]\nfirst = 1\nanswer.cut = "{cut}"')
    client = await started.bind()
    client.submit("491511", registered_delivery=0)
    client.submit("491512", registered_delivery=0)
    client.submit("491513", registered_delivery=0)
    await eventually(client.ended.is_set)
    assert [pdu.sequence for pdu in client.responses] == [2, 3][: 1 + answers]
    assert len(client.rest) == rest
    stats = started.smsc.simulator.describe()
    assert stats["answers_lost"] == (2 if cut != "after" else 1)
    again = await started.bind()
    assert (await again.response(again.submit("491512"))).status == 0


async def test_congestion_state_follows_the_load(play: StartProfile) -> None:
    client = await (await play("behaviour.congestion_rate = 50")).bind()
    states = []
    for number in range(70):
        answer = await client.response(client.submit(f"49151{number}", registered_delivery=0))
        states.append(parse_tlvs(answer.body.partition(b"\0")[2])[0x0428][0])
    assert states == sorted(states)
    assert (states[0], states[-1]) == (1, 100)
    assert 85 <= states[49] <= 90


async def test_rules_by_account_number_part_and_time(play: StartProfile) -> None:
    started = await play("""
clock = "first_submit"
[[accounts]]
name = "a"
[[accounts]]
name = "b"
[[rules]]
accounts = ["b"]
prefixes = ["49151"]
parts = [2]
until_seconds = 0.5
answer.status = "invsrcadr"
""")
    a, b = await started.bind("a"), await started.bind("b")

    async def status(client: RawClient, number: str, part: int) -> int:
        text = bytes([5, 0, 3, 7, 2, part]) + b"text"
        return (await client.response(client.submit(number, esm_class=0x40, short_message=text))).status

    assert await status(b, "491511", 1) == 0
    assert await status(b, "491511", 2) == 0x0A
    assert await status(b, "491611", 2) == 0
    assert await status(a, "491511", 2) == 0

    async def over() -> bool:
        return await status(b, "491511", 2) == 0

    await eventually(over)
