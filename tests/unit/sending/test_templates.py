"""What an account says of its messages is in each submit: form, data_coding, validity, flags and references."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.kafka.position import fresh_position
from broadcast.routing import Account, Route
from broadcast.sending.accounts.templates import WHOLE, write_absolute, write_relative
from broadcast.sending.answers.tokens import Submission, Token
from broadcast.sending.control import ControlView
from broadcast.sending.messages import Message, MessageCache
from broadcast.sending.outbox import Outbox
from broadcast.sending.progress import Progress
from broadcast.sending.settlement import Settlement
from broadcast.smpp.codec.command_status import ROK, RSYSERR
from broadcast.smpp.codec.message import ShortMessage, parse_message
from broadcast.smpp.codec.pdu import HEADER_LENGTH
from broadcast.smpp.codec.tlv import parse_tlvs
from broadcast.text import gsm, ucs2
from schemas.control import Control, Variant
from schemas.job import Job
from schemas.lane import Lane
from schemas.status import Outcome, Status
from schemas.topics import Names

NOW = 1_000_000_000
ALERT = "0b1c7f9e-0000-4000-8000-000000000001"
LONG = "Flood warning [A]. " * 20
USER_MESSAGE_REFERENCE, MSG_REF, TOTAL, SEQNUM, PAYLOAD = 0x0204, 0x020C, 0x020E, 0x020F, 0x0424


def message(text: str, lane: Lane = Lane.IMMEDIATE, expires_in: int = 3_600_000, alert: str = ALERT) -> Message:
    control = Control(alert, lane, "Actual", NOW + expires_in, (Variant("en", text),))
    return MessageCache(6).find(control, 0, "", ())


def account(**fields: Any) -> Account:
    return Account(name="a", host="h", port=1, system_id="s", **fields)


def submits(message: Message, account: Account, now: int = NOW) -> list[ShortMessage]:
    """The submits of a message to one number, parsed."""
    pdus = [bytes(each.render([1], [b"4915112345678"])) for each in message.carried_by(account).templates(account, now)]
    return [parse_message(pdu, HEADER_LENGTH, len(pdu)) for pdu in pdus]


def test_a_udh_has_a_16_bit_reference_that_is_the_same_in_each_part() -> None:
    parts = submits(message(LONG), account())
    headers = [part.short_message[:7] for part in parts]
    assert [part.esm_class for part in parts] == [0x40] * 3
    assert [header[:3] + header[5:] for header in headers] == [bytes([6, 8, 4, 3, number]) for number in (1, 2, 3)]
    assert len({header[3:5] for header in headers}) == 1
    assert gsm.decode(b"".join(part.short_message[7:] for part in parts)) == LONG


def test_a_udh_may_have_an_8_bit_reference() -> None:
    parts = submits(message(LONG), account(long_messages="udh8"))
    assert [part.esm_class for part in parts] == [0x40] * 3
    headers = [part.short_message[:6] for part in parts]
    assert [header[:3] + header[4:] for header in headers] == [bytes([5, 0, 3, 3, number]) for number in (1, 2, 3)]
    assert len({header[3] for header in headers}) == 1
    assert gsm.decode(b"".join(part.short_message[6:] for part in parts)) == LONG


def test_sar_parameters_exclude_a_udh_and_say_the_same() -> None:
    parts = submits(message(LONG), account(long_messages="sar"))
    assert [part.esm_class for part in parts] == [0] * 3
    tlvs = [parse_tlvs(part.optional) for part in parts]
    assert [(each[TOTAL], each[SEQNUM]) for each in tlvs] == [(b"\3", bytes([number])) for number in (1, 2, 3)]
    assert len({each[MSG_REF] for each in tlvs}) == 1
    assert len(tlvs[0][MSG_REF]) == 2
    assert gsm.decode(b"".join(part.short_message for part in parts)) == LONG


@pytest.mark.parametrize("text", [LONG, "Überschwemmung 🌊 " * 20])
def test_a_message_payload_carries_the_whole_text_with_sm_length_0(text: str) -> None:
    whole = message(text).carried_by(account(long_messages="payload"))
    (part,) = submits(message(text), account(long_messages="payload"))
    assert (part.short_message, part.esm_class) == (b"", 0)
    decode = gsm.decode if part.data_coding == 0 else ucs2.decode
    assert decode(parse_tlvs(part.optional)[PAYLOAD]) == text
    assert whole.numbers == (0,)
    assert whole.total == message(text).total > 1


def test_a_payload_has_one_status_for_all_its_segments_and_is_tried_again_as_a_whole() -> None:
    own = account(long_messages="payload")
    cache, outbox = MessageCache(6), Outbox()
    control = Control(ALERT, Lane.IMMEDIATE, "Actual", NOW + 3_600_000, (Variant("en", LONG),))
    whole = cache.find(control, 0, "", ()).carried_by(own)
    route = Route(name="r", prefixes=("+",), accounts=(own,))
    settlement = Settlement(route, Names("p."), b"key", outbox, ControlView())
    progress: Progress[Token] = Progress(fresh_position(0), "me")
    for offset, command_status in enumerate((ROK, RSYSERR)):
        job = Job(ALERT, offset, "+4915112345678")
        token: Token = (Submission(whole, progress, 0, own, "session", NOW, 0), job, offset, None, 0)
        progress.take([offset], [token])
        settlement.settle_many([(token, command_status, b"id", 1)], [b"id"], NOW)
    found = [msgspec.json.decode(value, type=Status) for _, value in outbox.content.statuses]
    assert [(each.outcome, each.segment, each.segments) for each in found] == [
        (Outcome.ACCEPTED, 0, 3),
        (Outcome.REFUSED_FOR_NOW, 0, 3),
    ]
    ((_, value),) = next(iter(outbox.content.retries.values()))
    again = cache.find(control, 0, "", msgspec.json.decode(value, type=Job).segments)
    assert again.carried_by(own).numbers == (0,)
    assert again.carried_by(account()).numbers == (1, 2, 3)


@pytest.mark.parametrize("form", ["udh", "udh8", "sar", "payload"])
def test_a_text_of_one_segment_is_the_same_in_every_form(form: str) -> None:
    given, plain = message("Flood"), account()
    assert given.carried_by(account(long_messages=form)) is given
    assert submits(given, account(long_messages=form)) == submits(given, plain)


def test_each_form_cuts_a_text_alike_so_that_a_retry_by_another_account_has_the_same_segments() -> None:
    given = message(LONG)
    bodies = [
        [part.short_message[skip:] for part in submits(given, account(long_messages=form))]
        for form, skip in (("udh", 7), ("udh8", 6), ("sar", 0))
    ]
    assert bodies[0] == bodies[1] == bodies[2]


def test_data_codings_are_those_of_the_account() -> None:
    own = account(data_coding_gsm=0xF1, data_coding_ucs2=0x08 | 0x04)
    assert [submits(message(text), own)[0].data_coding for text in ("Flood", "Überschwemmung 🌊")] == [0xF1, 0x0C]


def test_a_flash_message_is_of_class_0_and_only_in_its_lanes() -> None:
    own = account(flash={"immediate": True})
    found = [
        submits(message(text, lane), own)[0].data_coding
        for lane in (Lane.IMMEDIATE, Lane.ROUTINE)
        for text in ("Flood", "🌊")
    ]
    assert found == [0x10, 0x18, 0, 8]
    assert (
        submits(message("Flood", Lane.ROUTINE), account(flash=True, data_coding_gsm_flash=0xF0))[0].data_coding == 0xF0
    )


def test_the_priority_flag_is_by_lane() -> None:
    own = account(priority_flag={"immediate": 3, "priority": 1})
    assert [submits(message("Flood", lane), own)[0].priority_flag for lane in Lane] == [3, 1, 0]
    assert [submits(message("Flood", lane), account(priority_flag=2))[0].priority_flag for lane in Lane] == [2, 2, 2]


def test_every_submit_asks_for_a_receipt_unless_the_account_wants_none() -> None:
    """registered_delivery, whose default in the standard is no receipt (5.2.17); no intermediate notification."""
    for form in ("udh", "sar", "payload"):
        found = submits(message(LONG), account(long_messages=form))
        assert [part.registered_delivery for part in found] == [1] * len(found)
    assert [part.registered_delivery for part in submits(message(LONG), account(receipts=False))] == [0] * 3


def test_replace_if_present_is_on_every_message_of_the_account_also_the_first() -> None:
    own = account(replace_if_present=True, long_messages="payload")
    assert [part.replace_if_present for part in submits(message(LONG), own)] == [1]
    assert submits(message("Flood"), own)[0].replace_if_present == 1
    assert submits(message("Flood"), account())[0].replace_if_present == 0


def test_a_user_message_reference_ties_copies_of_a_segment_and_no_others() -> None:
    own = account(user_message_reference=True)

    def references(given: Message, now: int = NOW) -> list[bytes]:
        found = [parse_tlvs(part.optional)[USER_MESSAGE_REFERENCE] for part in submits(given, own, now)]
        assert {len(each) for each in found} == {2}, "SMPP 3.4, 5.3.2.17"
        return found

    first = references(message(LONG))
    assert first == references(message(LONG), NOW + 600_000)
    assert len(set(first)) == 3
    assert not {*first} & {*references(message(LONG, alert=ALERT.replace("1", "2")))}
    assert not parse_tlvs(submits(message(LONG), account())[0].optional)


@pytest.mark.parametrize(
    ("fields", "expires_in", "expected"),
    [
        ({}, 3_600_000, b"000000010000000R"),
        ({}, 3_600_001, b"000000010100000R"),
        ({}, -5_000, b"000000000100000R"),
        ({}, 50 * 86_400_000, b"000030000000000R"),
        ({"validity_limit_seconds": 1_800}, 3_600_000, b"000000003000000R"),
        ({"validity_limit_seconds": 1_800}, 600_000, b"000000001000000R"),
        ({"validity": "absolute"}, 3_600_000, b"700112144640000+"),
        ({"validity": "absolute", "validity_limit_seconds": 60}, 3_600_000, b"700112134740000+"),
        ({"validity": "off"}, 3_600_000, b""),
    ],
)
def test_the_validity_period_ends_with_the_alert_or_at_the_limit(
    fields: dict[str, Any], expires_in: int, expected: bytes
) -> None:
    assert submits(message("Flood", expires_in=expires_in), account(**fields))[0].validity_period == expected


@given(st.integers(1, 30 * 24 * 60 - 1))
def test_a_relative_period_is_16_characters_that_end_in_r_and_say_the_minutes(minutes: int) -> None:
    written = write_relative(minutes)
    assert (len(written), written[-1:]) == (16, b"R")
    days, hours, rest = int(written[4:6]), int(written[6:8]), int(written[8:10])
    assert (days * 24 + hours) * 60 + rest == minutes


@given(st.integers(0, 4_000_000_000_000))
def test_an_absolute_period_is_the_instant_in_utc(at: int) -> None:
    written = write_absolute(at).decode()
    assert (len(written), written[12:]) == (16, "000+")
    read = datetime.strptime(written[:12] + "+0000", "%y%m%d%H%M%S%z")
    expected = datetime.fromtimestamp(at // 1000, UTC)
    # Two digits of a year are read as 1969 to 2068.
    assert (read.month, read.day, read.time(), read.year % 100) == (
        expected.month,
        expected.day,
        expected.time(),
        expected.year % 100,
    )


def test_templates_are_kept_for_a_minute_and_made_anew_for_a_changed_account() -> None:
    given, own = message("Flood"), account()
    assert given.templates(own, NOW) is given.templates(own, NOW + 1)
    assert given.templates(own, NOW) is not given.templates(own, NOW + 60_001)
    changed = own.model_copy(update={"service_type": "CMT"})
    assert given.templates(own, NOW) is not given.templates(changed, NOW)
    assert submits(given, changed)[0].service_type == b"CMT"


@pytest.mark.parametrize(
    ("segments", "numbers"), [((), (1, 2, 3)), ((2,), (2,)), ((1, 3), (1, 3)), ((WHOLE,), (1, 2, 3))]
)
def test_a_message_has_the_segments_that_its_job_names(segments: tuple[int, ...], numbers: tuple[int, ...]) -> None:
    found = MessageCache(6).find(message("x" * 400).control, 0, "", segments)
    assert (found.numbers, found.total) == (numbers, 3)
