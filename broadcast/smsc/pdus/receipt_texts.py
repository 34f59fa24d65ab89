"""What receipts say: ids, texts and optional parameters, in all forms that SMSCs write (SMPP 3.4, Appendix B)."""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from broadcast.smpp.codec.message import ShortMessage
from broadcast.smpp.codec.receipts import MessageState
from broadcast.smpp.codec.tlv import MESSAGE_STATE, RECEIPTED_MESSAGE_ID, encode_tlvs
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.submit_plan import ReceiptForm, mix

# Of the range that 3.4 leaves to vendors (5.3.1), and one that wants more octets than there are.
UNKNOWN_TAG: Final = 0x1500
MALFORMED_TLV: Final = b"\x15\x01\xff\xff\x01"
# stat of Appendix B, dlvrd and err by state.
STATS: Final[Mapping[MessageState, tuple[bytes, bytes, bytes]]] = {
    MessageState.SCHEDULED: (b"SCHEDULED", b"000", b"000"),
    MessageState.ENROUTE: (b"ENROUTE", b"000", b"000"),
    MessageState.DELIVERED: (b"DELIVRD", b"001", b"000"),
    MessageState.EXPIRED: (b"EXPIRED", b"000", b"003"),
    MessageState.DELETED: (b"DELETED", b"000", b"004"),
    MessageState.UNDELIVERABLE: (b"UNDELIV", b"000", b"027"),
    MessageState.ACCEPTED: (b"ACCEPTD", b"000", b"000"),
    MessageState.UNKNOWN: (b"UNKNOWN", b"000", b"255"),
    MessageState.REJECTED: (b"REJECTD", b"000", b"008"),
    MessageState.SKIPPED: (b"SKIPPED", b"000", b"009"),
}
# Numbers that the simulator never gives out, for receipts of an unknown id.
UNKNOWN_FROM: Final = 10**18
_LONG_ID: Final = 5_000
_LAST_DIGITS: Final = tuple(b"%03d" % number for number in range(1000))


def format_ids(numbers: Sequence[int], form: str, modulus: int) -> list[bytes]:
    """Message ids from the simulator's own numbers: `decimal` (10 digits, as Appendix B), `hex` or `uuid`."""
    if modulus:
        numbers = [number % modulus for number in numbers]
    if form == "decimal":
        return _format_decimal(numbers)
    if form == "hex":
        return [b"%08X" % number for number in numbers]
    return [
        b"%08x-%04x-4%03x-8%03x-%012x"
        % (mixed & 0xFFFFFFFF, mixed >> 32 & 0xFFFF, mixed >> 48 & 0xFFF, mixed >> 52, number & 0xFFFFFFFFFFFF)
        for number, mixed in zip(numbers, map(mix, numbers), strict=True)
    ]


def _format_decimal(numbers: Sequence[int]) -> list[bytes]:
    if not isinstance(numbers, range) or numbers.step != 1:
        return [b"%010d" % number for number in numbers]
    # Ascending numbers share all but their last digits.
    ids: list[bytes] = []
    start, stop = numbers.start, numbers.stop
    while start < stop:
        thousands, last = divmod(start, 1000)
        count = min(stop - start, 1000 - last)
        front = b"%07d" % thousands
        ids += [front + each for each in _LAST_DIGITS[last : last + count]]
        start += count
    return ids


def write_ids(numbers: Sequence[int], form: ReceiptForm, behaviour: Behaviour) -> list[bytes]:
    """The ids as the receipts write them, which may differ from those of the responses."""
    given, modulus = behaviour.message_id_format, behaviour.message_id_modulus
    chosen = given if behaviour.receipt_id_format == "same" else behaviour.receipt_id_format
    match form.id:
        case "":
            return format_ids(numbers, chosen, modulus)
        case "decimal" | "hex":
            return format_ids(numbers, form.id, modulus)
        case "lower":
            return [each.lower() for each in format_ids(numbers, chosen, modulus)]
        case "upper":
            return [each.upper() for each in format_ids(numbers, chosen, modulus)]
        case "padded":
            return [each.rjust(20, b"0") for each in format_ids(numbers, chosen, modulus)]
        case "unpadded":
            return [each.lstrip(b"0") or b"0" for each in format_ids(numbers, chosen, modulus)]
        case "long":
            return [each.rjust(_LONG_ID, b"1") for each in format_ids(numbers, chosen, modulus)]
    return format_ids([UNKNOWN_FROM + number for number in numbers], chosen, 0)


@lru_cache(maxsize=64)
def _format_minute(minute: int) -> bytes:
    return time.strftime("%y%m%d%H%M", time.gmtime(minute * 60)).encode()


def format_date(at: float) -> bytes:
    """YYMMDDhhmm in UTC (Appendix B)."""
    return _format_minute(int(at) // 60)


def format_seconds(at: float) -> bytes:
    """YYMMDDhhmmss in UTC, as many SMSCs write it."""
    return time.strftime("%y%m%d%H%M%S", time.gmtime(at)).encode()


def write_text(
    form: ReceiptForm,
    message: ShortMessage,
    state: MessageState,
    message_id: bytes,
    *,
    submitted_at: float,
    done_at: float,
) -> bytes:
    """The text of a receipt to `message`, in its form."""
    stat, delivered, error = STATS[state]
    error = form.error.encode("latin-1") or error
    match form.text:
        case "standard":
            dates = (format_date(submitted_at), format_date(done_at))
        case "seconds":
            dates = (format_seconds(submitted_at), format_seconds(done_at))
        case "no_dates":
            return b"id:%b sub:001 dlvrd:%b stat:%b err:%b text:" % (message_id, delivered, stat, error)
        case "short":
            return b"id:%b stat:%b" % (message_id, stat)
        case "csv":
            return b"%b,001,%b,%b,%b,%b,%b," % (
                message_id,
                delivered,
                format_date(submitted_at),
                format_date(done_at),
                stat,
                error,
            )
        case "garbage":
            return b"\x00\xff\x07 done"
        case _:
            return b""
    return b"id:%b sub:001 dlvrd:%b submit date:%b done date:%b stat:%b err:%b text:%b" % (
        message_id,
        delivered,
        *dates,
        stat,
        error,
        message.short_message[:20] if not message.esm_class & 0x40 and message.data_coding == 0 else b"",
    )


def write_tlvs(kind: str, state: MessageState, message_id: bytes) -> bytes:
    """The optional parameters of a receipt: standard, state_only, unknown, malformed or none."""
    standard = [(RECEIPTED_MESSAGE_ID, message_id + b"\0"), (MESSAGE_STATE, bytes([state]))]
    match kind:
        case "standard":
            return encode_tlvs(standard)
        case "state_only":
            return encode_tlvs(standard[1:])
        case "unknown":
            return encode_tlvs([(UNKNOWN_TAG, b"unknown"), *standard])
        case "malformed":
            return MALFORMED_TLV
    return b""
