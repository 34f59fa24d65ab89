"""Profiles on the wire, receipts: when, how often, in which state, and in which form."""

import re
from typing import Any

import pytest

from broadcast.smpp.codec.message import Delivery, parse_data_message, parse_delivery
from broadcast.smpp.codec.pdu import DATA_SM, DELIVER_SM, ENQUIRE_LINK, SUBMIT_SM_RESP, Pdu
from broadcast.smpp.codec.receipts import MessageState
from broadcast.smpp.codec.tlv import MESSAGE_PAYLOAD, MESSAGE_STATE, RECEIPTED_MESSAGE_ID
from tests.support.raw_smpp import RawClient, StartProfile
from tests.support.waiting import eventually


def read(pdu: Pdu) -> Delivery:
    parse = parse_delivery if pdu.command == DELIVER_SM else parse_data_message
    return parse(pdu.body, 0, len(pdu.body), pdu.sequence)


async def submit(client: RawClient, number: str = "491511", **fields: Any) -> bytes:
    """Submit; the message id."""
    return (await client.response(client.submit(number, **fields))).body.partition(b"\0")[0]


async def receipt_of(play: StartProfile, rule: str, behaviour: str = "") -> tuple[bytes, Delivery, Pdu]:
    """The message id, the receipt as it is read, and its PDU."""
    client = await (await play(f"{behaviour}\n[[rules]]\n{rule}")).bind()
    message_id = await submit(client)
    pdu = (await client.deliveries(1))[0]
    return message_id, read(pdu), pdu


async def test_before_the_answer(play: StartProfile) -> None:
    client = await (await play("[[rules]]\nanswer.delay_seconds = 0.1\nreceipt.early = true")).bind()
    await submit(client)
    assert [pdu.command for pdu in client.pdus[1:3]] == [DELIVER_SM, SUBMIT_SM_RESP]


async def test_late(play: StartProfile) -> None:
    client = await (await play("[[rules]]\nreceipt.delay_seconds = 0.3")).bind()
    await submit(client)
    await client.response(client.send(ENQUIRE_LINK))
    assert not [pdu for pdu in client.pdus if pdu.command == DELIVER_SM]
    await client.deliveries(1)


@pytest.mark.parametrize("times", [0, 1, 2, 3])
async def test_never_once_doubled(play: StartProfile, times: int) -> None:
    started = await play(f"[[rules]]\nreceipt.times = {times}")
    client = await started.bind()
    message_id = await submit(client)
    came = await client.deliveries(times)
    await client.response(client.send(ENQUIRE_LINK))
    assert [message_id in pdu.body for pdu in came] == [True] * times
    await eventually(lambda: started.smsc.simulator.state.metrics.receipts_answered == times)
    assert started.smsc.simulator.state.metrics.receipts_owed == times


async def test_for_one_part_only(play: StartProfile) -> None:
    client = await (await play("[[rules]]\nparts = [2]\nreceipt.times = 0")).bind()
    ids = [
        await submit(client, esm_class=0x40, short_message=bytes([5, 0, 3, 7, 2, part]) + b"text") for part in (1, 2)
    ]
    came = await client.deliveries(1)
    await client.response(client.send(ENQUIRE_LINK))
    assert (ids[0] in came[0].body, len(await client.deliveries(1))) == (True, 1)


async def test_by_data_sm(play: StartProfile) -> None:
    message_id, receipt, pdu = await receipt_of(play, 'receipt.pdu = "data_sm"')
    assert pdu.command == DATA_SM
    assert receipt.is_receipt
    assert b"id:" + message_id in receipt.tlvs[MESSAGE_PAYLOAD]
    assert receipt.tlvs[MESSAGE_STATE] == b"\2"


async def test_intermediate_notifications_come_first(play: StartProfile) -> None:
    rule = 'receipt = { intermediate = ["SCHEDULED", "ENROUTE"], delay_seconds = 0.1 }'
    client = await (await play(f"[[rules]]\n{rule}")).bind()
    await submit(client)
    came = [read(pdu) for pdu in await client.deliveries(3)]
    assert [each.esm_class for each in came] == [0x20, 0x20, 0x04]
    assert [each.tlvs[MESSAGE_STATE] for each in came] == [b"\0", b"\1", b"\2"]


async def test_by_optional_parameters_only(play: StartProfile) -> None:
    message_id, receipt, _ = await receipt_of(play, 'receipt.text = "none"')
    assert (receipt.short_message, receipt.tlvs[RECEIPTED_MESSAGE_ID]) == (b"", message_id + b"\0")


@pytest.mark.parametrize("payload", [True, False])
async def test_in_ucs2_without_optional_parameters(play: StartProfile, payload: bool) -> None:
    rule = f'receipt = {{ coding = "ucs2", tlvs = "none", text = "no_dates", payload = {str(payload).lower()} }}'
    message_id, receipt, _ = await receipt_of(play, rule)
    assert (receipt.data_coding, receipt.esm_class) == (8, 4)
    assert receipt.short_message == b"" if payload else set(receipt.tlvs) == set()
    assert receipt.text.decode("utf-16-be").startswith(f"id:{message_id.decode()} sub:001 dlvrd:001 stat:DELIVRD")


async def test_a_text_that_is_too_long_goes_as_payload(play: StartProfile) -> None:
    _, receipt, _ = await receipt_of(play, 'receipt = { coding = "ucs2", text = "seconds", id = "padded" }')
    assert receipt.short_message == b""
    assert len(receipt.text) > 254


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("standard", rb"id:\d{10} sub:001 dlvrd:001 submit date:\d{10} done date:\d{10} stat:DELIVRD err:000 text:.*"),
        ("seconds", rb"id:\d{10} sub:001 dlvrd:001 submit date:\d{12} done date:\d{12} stat:DELIVRD err:000 text:.*"),
        ("no_dates", rb"id:\d{10} sub:001 dlvrd:001 stat:DELIVRD err:000 text:"),
        ("short", rb"id:\d{10} stat:DELIVRD"),
        ("csv", rb"\d{10},001,001,\d{10},\d{10},DELIVRD,000,"),
        ("garbage", rb"\x00\xff\x07 done"),
        ("none", rb""),
    ],
)
async def test_forms_of_the_text(play: StartProfile, text: str, pattern: bytes) -> None:
    _, receipt, _ = await receipt_of(play, f'receipt = {{ text = "{text}", tlvs = "none" }}')
    assert re.fullmatch(pattern, receipt.text)
    assert receipt.optional == b""


@pytest.mark.parametrize("esm_class", [0, 4, 0x20, 0x44])
async def test_with_another_esm_class_or_none(play: StartProfile, esm_class: int) -> None:
    _, receipt, _ = await receipt_of(play, f"receipt.esm_class = {esm_class}")
    assert receipt.esm_class == esm_class


@pytest.mark.parametrize(
    ("form", "given", "expected"),
    [
        ("decimal", "hex", lambda given: b"%010d" % int(given, 16)),
        ("hex", "decimal", lambda given: b"%08X" % int(given)),
        ("lower", "hex", bytes.lower),
        ("upper", "uuid", bytes.upper),
        ("padded", "decimal", lambda given: b"0" * 10 + given),
        ("unpadded", "decimal", lambda given: given.lstrip(b"0")),
        ("long", "decimal", lambda given: b"1" * 4990 + given),
        ("unknown", "decimal", lambda given: b"%d" % (10**18 + int(given))),
    ],
)
async def test_forms_of_the_id(play: StartProfile, form: str, given: str, expected: object) -> None:
    behaviour = f'behaviour.message_id_format = "{given}"'
    message_id, receipt, _ = await receipt_of(play, f'receipt = {{ id = "{form}" }}', behaviour)
    wanted = expected(message_id)  # type: ignore[operator]
    assert receipt.tlvs[RECEIPTED_MESSAGE_ID] == wanted + b"\0"
    assert receipt.text.startswith(b"id:" + wanted + b" ")


async def test_ids_that_are_used_again(play: StartProfile) -> None:
    client = await (await play("behaviour.message_id_modulus = 2")).bind()
    ids = [await submit(client, f"49151{number}") for number in range(4)]
    assert ids[:2] == ids[2:]


@pytest.mark.parametrize("state", list(MessageState))
async def test_every_state(play: StartProfile, state: MessageState) -> None:
    _, receipt, _ = await receipt_of(play, f'receipt = {{ state = "{state.name}", error = "077" }}')
    assert receipt.tlvs[MESSAGE_STATE] == bytes([state])
    stats = {MessageState.DELIVERED: "DELIVRD", MessageState.UNDELIVERABLE: "UNDELIV", MessageState.REJECTED: "REJECTD"}
    stat = stats.get(state, "ACCEPTD" if state is MessageState.ACCEPTED else state.name)
    assert f"stat:{stat} err:077".encode() in receipt.text


async def test_failures_only_are_reported_when_only_they_are_asked_for(play: StartProfile) -> None:
    client = await (await play('[[rules]]\nnumbers = ["491512"]\nreceipt.state = "EXPIRED"')).bind()
    await submit(client, "491511", registered_delivery=2)
    await submit(client, "491512", registered_delivery=2)
    await client.deliveries(1)
    await client.response(client.send(ENQUIRE_LINK))
    assert [read(pdu).source for pdu in await client.deliveries(1)] == [b"491512"]


@pytest.mark.parametrize(
    ("tlvs", "tags"), [("standard", {0x1E, 0x427}), ("none", set()), ("state_only", {0x427}), ("unknown", None)]
)
async def test_optional_parameters(play: StartProfile, tlvs: str, tags: set[int] | None) -> None:
    _, receipt, _ = await receipt_of(play, f'receipt.tlvs = "{tlvs}"')
    assert set(receipt.tlvs) == (tags if tags is not None else {0x1500, 0x1E, 0x427})


async def test_malformed_optional_parameters(play: StartProfile) -> None:
    message_id, receipt, _ = await receipt_of(play, 'receipt.tlvs = "malformed"')
    assert receipt.text.startswith(b"id:" + message_id)
    with pytest.raises(Exception, match="wants 65535 octets"):
        assert receipt.tlvs


async def test_one_more_for_an_id_that_was_never_given(play: StartProfile) -> None:
    client = await (await play("[[rules]]\nreceipt.unknown_too = true")).bind()
    message_id = await submit(client)
    assert sorted(b"id:" + message_id in pdu.body for pdu in await client.deliveries(2)) == [False, True]
