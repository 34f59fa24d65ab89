"""Receipts as SMSCs really write them, and ids in two number bases."""

from datetime import datetime, timedelta, timezone
from time import process_time, thread_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.reader import Reader
from broadcast.smpp.codec.receipt_dates import has_seconds, normal_date, read_date, seconds_between
from broadcast.smpp.codec.receipt_text import STATE_WORDS, Unclassified
from broadcast.smpp.codec.receipts import (
    RECEIPT_STATES,
    MessageState,
    is_phone_message,
    parse_receipt,
)
from broadcast.smpp.codec.tlv import (
    MESSAGE_PAYLOAD,
    MESSAGE_STATE,
    NETWORK_ERROR_CODE,
    RECEIPTED_MESSAGE_ID,
    encode_tlvs,
)
from schemas.receipt import FINAL_RECEIPT_STATES, ReceiptState


def deliver(
    text: bytes, esm_class: int = 4, tlvs: tuple[tuple[int, bytes], ...] = (), data_coding: int = 0
) -> Delivery:
    return Delivery(1, esm_class, b"49151", b"TOCSIN", data_coding, text, encode_tlvs(tlvs))


APPENDIX_B = b"id:7F3A20011 sub:001 dlvrd:001 submit date:2609261530 done date:2609261531 stat:DELIVRD err:000 text:"

D, U, X = MessageState.DELIVERED, MessageState.UNDELIVERABLE, MessageState.UNKNOWN


@pytest.mark.parametrize(
    ("text", "message_id", "state", "error", "done"),
    [
        # Appendix B
        (
            b"id:0123456789 sub:001 dlvrd:001 submit date:2601021530 done date:2601021531 stat:DELIVRD err:000 text:Hi",
            *(b"0123456789", D, "000", b"2601021531"),
        ),
        # seconds in the dates
        (
            b"id:1a2B sub:001 dlvrd:001 submit date:260102153059 done date:260102153101 stat:DELIVRD err:000 text:",
            *(b"1a2B", D, "000", b"260102153101"),
        ),
        # no dates, no sub, no dlvrd
        (b"id:77 stat:UNDELIV err:2F", b"77", U, "2F", b""),
        # no err, no text
        (b"id:77 sub:001 dlvrd:000 submit date:2601021530 done date:2601021531 stat:EXPIRED", b"77", 3, "", None),
        # non-numeric err, a state of its own, a date of zeros
        (
            b"id:abc-def sub:1 dlvrd:0 submit date:0000000000 done date:0000000000 stat:FAILED err:ABSENT text:x",
            *(b"abc-def", U, "ABSENT", b"0000000000"),
        ),
        (b"id:5 sub:001 dlvrd:001 submit date:2601021530 done date:2601021531 stat:QUEUED err:1", b"5", X, "1", None),
        # lower case, capital names
        (b"ID:5 SUB:001 DLVRD:001 SUBMIT DATE:1 DONE DATE:2 STAT:delivrd ERR:000 TEXT:", b"5", D, "000", b"2"),
        # commas (Kannel devel msg02229)
        (b"id:5,sub:001,dlvrd:001,submit date:1,done date:2,stat:REJECTD,err:009,text:", b"5", 8, "009", b"2"),
        # another order, and underscores
        (b"stat:DELIVRD err:000 done_date:2601 submit_date:2600 id:991", b"991", D, "000", b"2601"),
        # empty fields
        (b"id:9 sub: dlvrd: submit date: done date: stat:ACCEPTD err: text:", b"9", 6, "", b""),
        # leading blank, several blanks
        (b"  id:9   sub:001  dlvrd:001  submit date:1  done date:2   stat:ENROUTE  err:0", b"9", 1, "0", b"2"),
        # the copied text imitates a receipt
        (b"sub:001 id:9 stat:UNDELIV err:1 text:id:666 stat:DELIVRD", b"9", U, "1", b""),
        # a state as its number, other names of the fields
        (b"id:9 stat:2 err:0", b"9", D, "0", b""),
        (b"msgid=9;status=UNDELIVRD;error_code=12", b"9", U, "12", b""),
        (b"message_id: 9|state: EXPIRED", b"9", 3, "", b""),
        # dates as absolute times of 7.1.1, names on two lines
        (
            b"id:rdwj sub:000 dlvrd:000 submit date:180711070003912+ done\ndate:180711070000012+ stat:UNDELIV err:000",
            *(b"rdwj", U, "000", b"180711040000"),
        ),
        # other orders, with fields behind the state
        (b"id:1 stat:UNDELIV sub:001 err:042", b"1", U, "042", b""),
        (
            b"id:1 sub:001 dlvrd:001 stat:UNDELIV submit date:251127100000 done date:251127100100 err:042",
            *(b"1", U, "042", b"251127100100"),
        ),
        # a zero octet at the end
        (b"id:1 stat:UNDELIV err:042\0", b"1", U, "042", b""),
        (APPENDIX_B.removesuffix(b" text:") + b"\0", b"7F3A20011", D, "000", b"2609261531"),
        # an id that begins like the name of a field
        (b"id:sub-7 stat:DELIVRD", b"sub-7", D, "", b""),
        # an empty error before another field
        (b"id:9 sub: submit date:2609261530 done date:2609261531 stat:DELIVRD err: dlvrd:", b"9", D, "", b"2609261531"),
        # a state that no standard knows: UNKNOWN, which is no failure
        (b"id:9 stat:LOST", b"9", X, "", b""),
        # no state at all: likewise
        (b"id:9 sub:001 dlvrd:001", b"9", X, "", b""),
    ],
)
def test_texts_of_the_field(text: bytes, message_id: bytes, state: int, error: str, done: bytes | None) -> None:
    receipt = parse_receipt(deliver(text))
    assert receipt is not None
    assert (receipt.message_id, receipt.state, receipt.error) == (message_id, state, error)
    if done is not None:
        assert receipt.done == done


FIELDS_OF_THE_STANDARD = {
    b"id": st.text("0123456789abcdefABCDEF-", min_size=1, max_size=64),
    b"sub": st.text("0123456789", max_size=3),
    b"dlvrd": st.text("0123456789", max_size=3),
    b"submit date": st.datetimes().map(lambda at: at.strftime("%y%m%d%H%M%S")),
    b"done date": st.datetimes().map(lambda at: at.strftime("%y%m%d%H%M")),
    b"stat": st.sampled_from(["DELIVRD", "UNDELIV", "EXPIRED", "DELETED", "ACCEPTD", "UNKNOWN", "REJECTD", "ENROUTE"]),
    b"err": st.text("0123456789ABCDEF", max_size=3),
}


@given(
    st.fixed_dictionaries(FIELDS_OF_THE_STANDARD),
    st.permutations(list(FIELDS_OF_THE_STANDARD)),
    st.sets(st.sampled_from(sorted(FIELDS_OF_THE_STANDARD.keys() - {b"id"}))),
    st.sampled_from([b"", b" text:", b" Text:id:666 stat:DELIVRD err:9"]),
)
def test_the_fields_of_a_receipt_may_be_in_any_order_and_some_missing(
    values: dict[bytes, str], order: list[bytes], missing: set[bytes], copied: bytes
) -> None:
    values = {name: "" if name in missing else value for name, value in values.items()}
    text = b" ".join(b"%b:%b" % (name, values[name].encode()) for name in order if name not in missing)
    receipt = parse_receipt(deliver(text + copied))
    assert receipt is not None
    assert receipt.message_id == values[b"id"].encode()
    assert receipt.state == (STATE_WORDS[values[b"stat"].encode()] if values[b"stat"] else X)
    assert (receipt.error, receipt.submitted.decode(), receipt.done.decode()) == (
        *(values[b"err"], values[b"submit date"], values[b"done date"]),
    )


ISO = b"id:1 sub:001 dlvrd:001 submit date:%b done date:%b stat:DELIVRD err:000 text:Hi"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"2025-11-27T10:00:59Z", b"251127100059"),
        (b"2025-11-27t10:00:59z", b"251127100059"),
        (b"2025-11-27 10:00:59", b"251127100059"),
        (b"2025-11-27T10:00:59", b"251127100059"),
        (b"2025-11-27T10:00", b"2511271000"),
        (b"2025-11-27T10:00Z", b"2511271000"),
        (b"2025-11-27T10:00:59.123Z", b"251127100059"),
        (b"2025-11-27T10:00:59.123456+01:00", b"251127090059"),
        (b"2025-11-27 10:00:59+0100", b"251127090059"),
        (b"2025-11-27 10:00:59 -03:30", b"251127133059"),
        (b"2025-12-31T23:30:00-01", b"260101003000"),
        # absolute time of 7.1.1: local time, quarters of an hour before or behind UTC
        (b"251127100059904+", b"251127090059"),
        (b"251127100059004-", b"251127110059"),
        (b"20251127100059", b"251127100059"),
        # no date
        (b"2025-13-27T10:00:59Z", b""),
        (b"0001-01-01T00:00:00+14:00", b""),
        (b"251327100059004-", b""),
        (b"0", b"0"),
    ],
)
def test_dates_are_read_in_all_forms(written: bytes, read: bytes) -> None:
    for text in (
        ISO % (written, written),
        b"stat:DELIVRD id:1 done_date:%b err:000 submit_date=%b" % (written, written),
        b"id:1|stat:DELIVRD|submit date:%b|done date:%b|err:000" % (written, written),
    ):
        receipt = parse_receipt(deliver(text))
        assert receipt is not None
        assert (receipt.submitted, receipt.done) == (read, read)
        assert (receipt.message_id, receipt.state, receipt.error) == (b"1", D, "000")
        assert (receipt.submitted and read_date(receipt.submitted)) == (read and read_date(read))


@given(st.integers(0, 3_100_000_000), st.integers(-48, 56), st.booleans())
def test_a_date_in_any_time_zone_is_the_same_instant(at: int, quarters: int, blank: bool) -> None:
    local = datetime.fromtimestamp(at, timezone(timedelta(minutes=15 * quarters)))
    read = normal_date(local.isoformat(" " if blank else "T").encode())
    assert (read_date(read), has_seconds(read)) == (at, True)


@pytest.mark.parametrize(
    "text", [b"", b"hello", b"id: sub:001 dlvrd:001 stat:DELIVRD", b"\xff\xfe\0\1", b"stat:DELIVRD"]
)
def test_text_that_names_no_message_is_no_receipt(text: bytes) -> None:
    assert parse_receipt(deliver(text)) is None


def test_tlvs_go_before_the_text() -> None:
    tlvs = ((RECEIPTED_MESSAGE_ID, b"ABC\0"), (MESSAGE_STATE, b"\2"), (NETWORK_ERROR_CODE, b"\3\0\x2a"))
    receipt = parse_receipt(deliver(b"id:666 stat:UNDELIV err:001", tlvs=tlvs))
    assert receipt is not None
    assert (receipt.message_id, receipt.state, receipt.error) == (b"ABC", D, "3:42")


def test_tlvs_alone_are_enough_even_without_the_class() -> None:
    tlvs = ((RECEIPTED_MESSAGE_ID, b"ABC"), (MESSAGE_STATE, b"\5"))
    receipt = parse_receipt(deliver(b"", esm_class=0, tlvs=tlvs))
    assert receipt is not None
    assert (receipt.message_id, receipt.state) == (b"ABC", U)


def test_text_may_be_in_the_payload_and_state_beyond_the_table() -> None:
    receipt = parse_receipt(deliver(b"", tlvs=((MESSAGE_PAYLOAD, b"id:7 stat:DELIVRD"), (MESSAGE_STATE, b"\x63"))))
    assert receipt is not None
    assert (receipt.message_id, receipt.state) == (b"7", X)


def test_broken_tlvs_leave_the_text() -> None:
    delivery = Delivery(1, 4, b"1", b"2", 0, b"id:7 stat:DELIVRD", b"\0\x1e\0\x50A")
    receipt = parse_receipt(delivery)
    assert receipt is not None
    assert receipt.message_id == b"7"


@pytest.mark.parametrize(("kind", "is_receipt"), [(0b0000, False), (0b0001, True), (0b1000, True)])
def test_a_receipt_is_bits_5_to_2_of_esm_class_whatever_the_other_bits(kind: int, is_receipt: bool) -> None:
    """0001 is a receipt, 1000 an intermediate notification (5.2.12); the others are mode, UDH and reply path."""
    for others in (mode | features << 6 for mode in range(4) for features in range(4)):
        header = b"\x03\x24\x01\x01" if others & 0x40 else b""
        receipt = parse_receipt(deliver(header + b"id:7 stat:DELIVRD", kind << 2 | others), Unclassified.NEVER)
        assert (receipt and receipt.message_id) == (b"7" if is_receipt else None)


def test_message_from_a_phone_is_no_receipt() -> None:
    assert parse_receipt(deliver(b"STOP", esm_class=0)) is None
    assert parse_receipt(deliver(b"id:1 stat:DELIVRD", esm_class=0x40)) is None
    assert is_phone_message(deliver(b"STOP", esm_class=0))


def test_an_intermediate_notification_is_a_receipt_that_is_not_final() -> None:
    receipt = parse_receipt(deliver(b"id:1 stat:ENROUTE", esm_class=0x20))
    assert receipt is not None
    assert receipt.receipt_state is ReceiptState.ENROUTE


IN_UCS2 = APPENDIX_B.decode().encode("utf-16-be")
HEADER_OF_TWO_PARTS = b"\5\0\3\1\2\1"


@pytest.mark.parametrize(
    "delivery",
    [
        deliver(APPENDIX_B),
        deliver(APPENDIX_B, data_coding=3),
        deliver(IN_UCS2, data_coding=8),
        deliver(b"", tlvs=((MESSAGE_PAYLOAD, IN_UCS2),), data_coding=8),
        deliver(b"", tlvs=((MESSAGE_PAYLOAD, APPENDIX_B),)),
        deliver(b"\xfe\xff" + IN_UCS2, data_coding=8),
        deliver(APPENDIX_B.decode().encode("utf-16-le"), data_coding=8),
        # a data_coding that is not true
        deliver(IN_UCS2),
        deliver(APPENDIX_B, data_coding=8),
        deliver(HEADER_OF_TWO_PARTS + APPENDIX_B, 0x44),
        deliver(HEADER_OF_TWO_PARTS + IN_UCS2, 0x44, data_coding=8),
        deliver(b"see payload", tlvs=((MESSAGE_PAYLOAD, APPENDIX_B),)),
    ],
)
def test_a_receipt_is_read_whatever_its_data_coding_and_wherever_its_text_is(delivery: Delivery) -> None:
    receipt = parse_receipt(delivery)
    assert receipt is not None
    assert (receipt.message_id, receipt.state, receipt.error) == (b"7F3A20011", D, "000")
    assert (receipt.submitted, receipt.done) == (b"2609261530", b"2609261531")


def test_a_part_of_a_receipt_without_its_state_is_none() -> None:
    cut = APPENDIX_B.index(b"stat:")
    assert parse_receipt(deliver(HEADER_OF_TWO_PARTS + APPENDIX_B[:cut], 0x44)) is None
    assert parse_receipt(deliver(HEADER_OF_TWO_PARTS + APPENDIX_B[cut:], 0x44)) is None
    # One whose parameters say the state is whole.
    tagged = deliver(HEADER_OF_TWO_PARTS + APPENDIX_B[:cut], 0x44, ((MESSAGE_STATE, b"\5"),))
    receipt = parse_receipt(tagged)
    assert receipt is not None
    assert (receipt.message_id, receipt.state) == (b"7F3A20011", U)


def test_a_deliver_sm_in_ucs2_as_it_is_on_the_wire() -> None:
    pdu = (
        "000000fe00000005000000000000000100010134393135303031323334353631000500544f4353494e00040000000000000800ca"
        + IN_UCS2.hex()
    )
    (delivery,) = Reader().feed(bytes.fromhex(pdu)).deliveries
    receipt = parse_receipt(delivery)
    assert receipt is not None
    assert (receipt.message_id, receipt.state, receipt.error) == (b"7F3A20011", D, "000")


def test_latin_1_and_other_letters_in_the_copied_text_do_no_harm() -> None:
    for coding, data_coding in (("latin-1", 3), ("utf-16-be", 8)):
        receipt = parse_receipt(deliver((APPENDIX_B.decode() + "Überflutung").encode(coding), data_coding=data_coding))
        assert receipt is not None
        assert receipt.message_id == b"7F3A20011"
    receipt = parse_receipt(deliver("id:ж7 stat:DELIVRD".encode("utf-16-be"), data_coding=8))
    assert receipt is not None
    assert receipt.message_id == b"\\u04367"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"7F3A,001,001,2609261530,2609261531,DELIVRD,000,Hello, you", (b"7F3A", D, "000", b"2609261531")),
        (b"7F3A;UNDELIV;2609261531;12", (b"7F3A", U, "12", b"2609261531")),
        (b'"7F3A","EXPIRED"', (b"7F3A", 3, "", b"")),
        (b"7F3A|delivrd|2609261530|2609261531|0", (b"7F3A", D, "0", b"2609261531")),
        # more than two dates: the first and the last
        (b"7F3A,2609261530,2609261531,2609261532,DELIVRD,0", (b"7F3A", D, "0", b"2609261532")),
        (b"7F3A,2026-09-26T15:30:00Z,2026-09-26T15:31:00Z,DELIVRD,0", (b"7F3A", D, "0", b"260926153100")),
        (b"7F3A,20260926153000,20260926153100,DELIVRD,0", (b"7F3A", D, "0", b"260926153100")),
        # an error has no more than 8 characters; what is longer is the copied text
        (b"7F3A,UNDELIV,ABSENT_8", (b"7F3A", U, "ABSENT_8", b"")),
        (b"7F3A,UNDELIV,EVACUATED", (b"7F3A", U, "", b"")),
    ],
)
def test_comma_separated_receipts(text: bytes, expected: tuple[bytes, int, str, bytes]) -> None:
    receipt = parse_receipt(deliver(text))
    assert receipt is not None
    assert (receipt.message_id, receipt.state, receipt.error, receipt.done) == expected


@pytest.mark.parametrize(
    ("text", "exact", "loose"),
    [
        (APPENDIX_B, True, True),
        (IN_UCS2, True, True),
        (b"id:7 submit date:2609261530 done date:2609261531 stat:UNDELIV", True, True),
        (b"id:7 stat:DELIVRD", False, True),
        (b"7F3A,001,001,2609261530,2609261531,DELIVRD,000", False, True),
        # what people write
        (b"STOP", False, False),
        (b"my id:7 please", False, False),
        (b"id:7 sub:001 dlvrd:001 submit date:2609261530 done date:2609261531 stat:WRITTEN err:000", False, False),
        (b"He said: " + APPENDIX_B, False, True),
    ],
)
def test_without_the_class_the_whole_text_must_be_that_of_a_receipt(text: bytes, exact: bool, loose: bool) -> None:
    bare = deliver(text, esm_class=0)
    assert (parse_receipt(bare) is not None) is exact
    assert (parse_receipt(bare, Unclassified.ANY) is not None) is loose
    assert parse_receipt(bare, Unclassified.NEVER) is None
    if exact:
        receipt = parse_receipt(bare)
        assert receipt is not None
        assert receipt.by_text


@pytest.mark.parametrize("esm_class", [0x08, 0x10, 0x18, 0x0C, 0x24])
def test_another_type_of_esm_class_is_no_message_of_a_phone(esm_class: int) -> None:
    assert parse_receipt(deliver(b"hello", esm_class=esm_class)) is None
    assert not is_phone_message(deliver(b"hello", esm_class=esm_class))
    assert parse_receipt(deliver(b"id:7 stat:DELIVRD", esm_class=esm_class)) is not None


@pytest.mark.parametrize("state", list(MessageState))
def test_an_intermediate_notification_never_says_that_it_is_final(state: MessageState) -> None:
    for delivery in (
        deliver(b"", 0x20, ((RECEIPTED_MESSAGE_ID, b"7"), (MESSAGE_STATE, bytes([state])))),
        deliver(b"id:7 stat:%d" % state, 0x20),
    ):
        receipt = parse_receipt(delivery)
        assert receipt is not None
        assert receipt.receipt_state not in FINAL_RECEIPT_STATES


@pytest.mark.parametrize(
    ("tlvs", "expected"),
    [
        # empty, too long, or of a wrong length: the text says it
        (((RECEIPTED_MESSAGE_ID, b""), (MESSAGE_STATE, b"")), (b"9", U)),
        (((RECEIPTED_MESSAGE_ID, b"\0"), (MESSAGE_STATE, b"\0\2")), (b"9", U)),
        (((MESSAGE_STATE, b"\2"),), (b"9", D)),
        (((RECEIPTED_MESSAGE_ID, b" 7 \0rest"),), (b"7", U)),
        # unknown ones before, between and after; the state first; one repeated
        (((0x1454, b"\0"), (RECEIPTED_MESSAGE_ID, b"7\0"), (0x1418, b"x" * 9), (MESSAGE_STATE, b"\2")), (b"7", D)),
        (((MESSAGE_STATE, b"\2"), (RECEIPTED_MESSAGE_ID, b"7\0")), (b"7", D)),
        (((NETWORK_ERROR_CODE, b"\3"), (RECEIPTED_MESSAGE_ID, b"7"), (RECEIPTED_MESSAGE_ID, b"7")), (b"7", U)),
    ],
)
def test_odd_parameters_leave_what_is_whole(
    tlvs: tuple[tuple[int, bytes], ...], expected: tuple[bytes, MessageState]
) -> None:
    receipt = parse_receipt(deliver(b"id:9 stat:UNDELIV", tlvs=tlvs))
    assert receipt is not None
    assert (receipt.message_id, receipt.state) == expected


def test_parameters_before_one_that_is_cut_short_count() -> None:
    whole = encode_tlvs(((RECEIPTED_MESSAGE_ID, b"7\0"), (MESSAGE_STATE, b"\2")))
    receipt = parse_receipt(Delivery(1, 0, b"49151", b"T", 0, b"", whole + b"\4\x23\0\3\1"))
    assert receipt is not None
    assert (receipt.message_id, receipt.state) == (b"7", D)


@pytest.mark.parametrize("length", [64, 65, 255])
def test_a_message_id_is_opaque_up_to_255_octets(length: int) -> None:
    message_id = b"#" * length
    receipts = [
        parse_receipt(deliver(b"id:%b stat:DELIVRD" % message_id)),
        parse_receipt(deliver(b"", tlvs=((RECEIPTED_MESSAGE_ID, message_id + b"\0"), (MESSAGE_STATE, b"\2")))),
    ]
    assert [receipt and receipt.message_id for receipt in receipts] == [message_id] * 2


@pytest.mark.parametrize("length", [256, 5000])
def test_a_longer_message_id_makes_no_receipt(length: int) -> None:
    assert parse_receipt(deliver(b"id:%b stat:DELIVRD" % (b"1" * length))) is None
    assert parse_receipt(deliver(b"", tlvs=((RECEIPTED_MESSAGE_ID, b"1" * length), (MESSAGE_STATE, b"\2")))) is None


@pytest.mark.parametrize("text", [b"id:1 sub:" + b"," * 60_000, b"id:1 " * 12_000, b"," * 60_000, b"id" * 30_000])
def test_a_hostile_text_takes_no_time(text: bytes) -> None:
    began_at = process_time()
    for esm_class in (0, 4):
        parse_receipt(deliver(text, esm_class), Unclassified.ANY)
        parse_receipt(deliver(b"", esm_class, ((MESSAGE_PAYLOAD, text),)), Unclassified.ANY)
    assert process_time() - began_at < 1.0


NAMES_OF_FIELDS = (
    b"id",
    b"sub",
    b"dlvrd",
    b"submit date",
    b"done date",
    b"stat",
    b"err",
    b"text",
    b"message id",
    b"error",
)
FILLERS = (b",", b" ", b";", b"0", b"x", b":", b"=", b"\n", b"|", b"id:", b", ;", b" sub:", b"error code ")


def seconds_to_read(text: bytes, esm_class: int) -> float:
    """The least of three times, of this thread only: what the machine does besides is not counted."""
    seconds = []
    for _ in range(3):
        began = thread_time()
        parse_receipt(deliver(b"", esm_class, ((MESSAGE_PAYLOAD, text),)), Unclassified.ANY)
        seconds.append(thread_time() - began)
    return min(seconds)


@given(
    st.lists(
        st.tuples(st.sampled_from(FILLERS[:4]), st.sampled_from(NAMES_OF_FIELDS), st.sampled_from(FILLERS)), max_size=8
    ),
    st.lists(st.integers(1, 200), min_size=8, max_size=8),
    st.sampled_from([0, 4]),
)
@example([(b" ", b"sub", b","), (b"", b"dlvrd", b","), (b"", b"submit date", b",")], [160] * 8, 4)
@example([(b" ", b"sub", b" "), (b"", b"dlvrd", b" "), (b" ", b"submit date", b"0")], [120] * 8, 4)
def test_no_order_or_length_of_fields_keeps_the_parser_busy(
    fields: list[tuple[bytes, bytes, bytes]], lengths: list[int], esm_class: int
) -> None:
    text = b"id:x" + b"".join(
        before + name + b":" + filler * length for (before, name, filler), length in zip(fields, lengths, strict=False)
    )
    assert seconds_to_read(text[:512], esm_class) < 0.001
    assert seconds_to_read(text, esm_class) < 0.001


@given(st.binary(max_size=200), st.integers(0, 255), st.binary(max_size=40))
def test_no_bytes_make_it_raise(text: bytes, esm_class: int, optional: bytes) -> None:
    receipt = parse_receipt(Delivery(1, esm_class, b"1", b"2", 0, text, optional))
    assert receipt is None or receipt.message_id


def test_every_state_travels() -> None:
    assert set(RECEIPT_STATES) == set(MessageState)


@pytest.mark.parametrize(
    ("submitted", "done", "seconds"),
    [
        (b"2601021530", b"2601021531", 60.0),
        (b"260102153000", b"260102153007", 7.0),
        (b"2601021530", b"260102153007", 7.0),
        (b"2601022359", b"2601030001", 120.0),
        (b"2601021531", b"2601021530", None),
        (b"", b"2601021530", None),
        (b"2613021530", b"2601021530", None),
        (b"20260102153000", b"20260102153007", None),
    ],
)
def test_how_long_a_message_took_by_its_receipt(submitted: bytes, done: bytes, seconds: float | None) -> None:
    assert seconds_between(submitted, done) == seconds
