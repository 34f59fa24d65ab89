"""Each violation of its rules that the simulator counts, provoked once; a client that keeps them has none."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from broadcast.smpp.codec.pdu import (
    BIND_RECEIVER,
    BIND_TRANSCEIVER,
    BIND_TRANSMITTER,
    DATA_SM,
    DELIVER_SM,
    RESPONSE,
    SUBMIT_SM,
    UNBIND,
)
from broadcast.smpp.codec.tlv import (
    MESSAGE_PAYLOAD,
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
    encode_tlvs,
)
from broadcast.smsc.counts.violations import Violation
from tests.support.raw_smpp import RawClient, Started, StartProfile
from tests.support.waiting import eventually

PROFILE = """
[behaviour]
window_limit = 3
rate_limit = 20
validity_required = true

[[accounts]]
name = "a"
[[accounts]]
name = "b"
modes = ["transmitter", "receiver"]
[[accounts]]
name = "held"
behaviour = { pause_answers = true }
"""

Act = Callable[[Started], Awaitable[object]]


def part(client: RawClient, number: int, of: int = 2, to: str = "491511") -> int:
    """Send one part of a long message."""
    return client.submit(to, esm_class=0x40, short_message=bytes([5, 0, 3, 77, of, number]) + b"part")


async def exceed_the_window(play: Started) -> None:
    client = await play.bind("held")
    for number in range(4):
        client.submit(f"49151{number}")


async def exceed_the_rate(play: Started) -> None:
    client = await play.bind("a")
    for number in range(21):
        await client.response(client.submit(f"49151{number}"))


async def reuse_a_sequence(play: Started) -> None:
    client = await play.bind("held")
    client.submit("491511", sequence=7)
    client.submit("491512", sequence=7)


async def go_back_in_sequences(play: Started) -> None:
    client = await play.bind("a")
    await client.response(client.submit("491511", sequence=9))
    await client.response(client.submit("491512", sequence=8))


async def send_sequence_zero(play: Started) -> None:
    client = await play.bind("a")
    client.submit("491511", sequence=0)


async def send_parts_over_binds(play: Started) -> None:
    one, two = await play.bind("a"), await play.bind("a")
    await one.response(part(one, 1))
    part(two, 2)


async def send_parts_over_accounts(play: Started) -> None:
    one, two = await play.bind("a"), await play.bind("b", command=BIND_TRANSMITTER)
    await one.response(part(one, 1))
    part(two, 2)


async def send_the_second_part_only(play: Started) -> None:
    part(await play.bind("a"), 2)


async def leave_out_the_validity(play: Started) -> None:
    (await play.bind("a")).submit("491511", validity_period=b"")


async def send_a_malformed_validity(play: Started) -> None:
    (await play.bind("a")).submit("491511", validity_period=b"1h")


async def submit_unbound(play: Started) -> None:
    (await play.connect()).submit("491511")


async def submit_on_a_receiver(play: Started) -> None:
    (await play.bind("b", command=BIND_RECEIVER)).submit("491511")


async def submit_after_unbind(play: Started) -> None:
    client = await play.bind("a")
    submit = client.submit("491511")
    await client.response(submit)
    client.send(UNBIND)
    client.submit("491512")


async def bind_twice(play: Started) -> None:
    await (await play.bind("a")).bind("a")


async def bind_in_a_mode_that_is_not_allowed(play: Started) -> None:
    client = await play.connect()
    assert (await client.bind("b", command=BIND_TRANSCEIVER)).status == 0x0D


async def send_an_unknown_command(play: Started) -> None:
    (await play.bind("a")).send(0x77)


async def send_nonsense(play: Started) -> None:
    (await play.bind("a")).send_bytes(b"\0\0\0\1" * 4)


async def send_a_submit_that_is_cut_short(play: Started) -> None:
    (await play.bind("a")).send(SUBMIT_SM, b"\0\1\1")


async def send_udh_and_sar(play: Started) -> None:
    sar = encode_tlvs([(SAR_MSG_REF_NUM, b"\0\1"), (SAR_TOTAL_SEGMENTS, b"\1"), (SAR_SEGMENT_SEQNUM, b"\1")])
    (await play.bind("a")).submit("491511", esm_class=0x40, short_message=b"\2\x24\0x", optional=sar)


async def send_text_and_payload(play: Started) -> None:
    (await play.bind("a")).submit("491511", optional=encode_tlvs([(MESSAGE_PAYLOAD, b"x")]))


async def send_a_long_source(play: Started) -> None:
    (await play.bind("a")).submit("491511", source=b"TWELVE CHARS")


async def send_a_long_destination(play: Started) -> None:
    (await play.bind("a")).submit("4" * 21)


async def answer_what_was_not_sent(play: Started) -> None:
    (await play.bind("a")).send(DELIVER_SM | RESPONSE, b"\0", sequence=99)


async def answer_as_the_wrong_type(play: Started) -> None:
    client = await play.bind("a")
    client.acknowledges = False
    client.submit("491511")
    (receipt,) = await client.deliveries(1)
    client.send(DATA_SM | RESPONSE, b"\0", sequence=receipt.sequence)


PROVOKED: dict[str, Act] = {
    "window_exceeded": exceed_the_window,
    "rate_exceeded": exceed_the_rate,
    "sequence_reused": reuse_a_sequence,
    "sequence_not_ascending": go_back_in_sequences,
    "sequence_zero": send_sequence_zero,
    "parts_over_binds": send_parts_over_binds,
    "parts_over_accounts": send_parts_over_accounts,
    "part_without_first": send_the_second_part_only,
    "validity_missing": leave_out_the_validity,
    "validity_malformed": send_a_malformed_validity,
    "submit_unbound": submit_unbound,
    "submit_on_receiver": submit_on_a_receiver,
    "submit_after_unbind": submit_after_unbind,
    "bind_twice": bind_twice,
    "mode_not_allowed": bind_in_a_mode_that_is_not_allowed,
    "unknown_command": send_an_unknown_command,
    "unreadable": send_nonsense,
    "answer_unexpected": answer_what_was_not_sent,
    "answer_of_wrong_type": answer_as_the_wrong_type,
    "udh_and_sar": send_udh_and_sar,
    "text_and_payload": send_text_and_payload,
    "source_too_long": send_a_long_source,
    "destination_too_long": send_a_long_destination,
}


@pytest.mark.parametrize("kind", PROVOKED)
async def test_each_violation_is_counted_once_and_as_what_it_is(kind: str, play: StartProfile) -> None:
    started = await play(PROFILE)
    await PROVOKED[kind](started)
    simulator = started.smsc.simulator
    await eventually(lambda: simulator.state.violations.total > 0)
    stats = simulator.describe()
    assert stats["violations"] == {kind: 1}
    assert [example["kind"] for example in stats["violation_examples"]] == [kind]  # type: ignore[attr-defined]


async def test_a_submit_that_is_cut_short_is_unreadable(play: StartProfile) -> None:
    started = await play(PROFILE)
    await send_a_submit_that_is_cut_short(started)
    await eventually(lambda: started.smsc.simulator.describe()["violations"] == {"unreadable": 1})


async def test_an_account_has_its_own_violations_and_counts(play: StartProfile) -> None:
    started = await play(PROFILE)
    await leave_out_the_validity(started)
    other = await started.bind("b", command=BIND_TRANSMITTER)
    await other.response(other.submit("491511"))
    await eventually(lambda: started.smsc.simulator.state.metrics.submits == 2)
    accounts = started.smsc.simulator.describe()["accounts"]
    assert isinstance(accounts, dict)
    assert (accounts["a"]["violations"], accounts["b"]["violations"]) == ({"validity_missing": 1}, {})
    assert [accounts[name]["submits"] for name in ("a", "b", "held")] == [1, 1, 0]
    assert (accounts["b"]["accepted"], accounts["b"]["highest_per_second"], accounts["b"]["binds_now"]) == (1, 1, 1)


async def test_a_client_that_keeps_the_rules_has_no_violation(play: StartProfile) -> None:
    started = await play(PROFILE)
    one, two = await started.bind("a"), await started.bind("b", command=BIND_TRANSMITTER)
    for client in (one, two):
        for number in (1, 2):
            await client.response(part(client, number))
        # A retry of one part on the same session, and an enquire_link of the same sequence counter in between.
        client.send(0x15)
        await client.response(part(client, 2))
        await client.response(client.submit("491512", sequence=client.sequence + 100))
    assert started.smsc.simulator.state.violations.total == 0
    # Another session, its first counter again at 1.
    three = await started.bind("a")
    three.sequence = 0x7FFFFFFE
    await three.response(three.submit("491513"))
    await three.response(three.submit("491513", sequence=1))
    await asyncio.sleep(0)
    assert started.smsc.simulator.state.violations.total == 0


def test_every_kind_of_violation_is_provoked() -> None:
    assert set(PROVOKED) | {"enquire_link_unanswered"} == set(Violation)
