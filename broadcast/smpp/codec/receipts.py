"""Delivery receipts: TLVs where there are any, else the text of Appendix B in all forms that SMSCs send."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from broadcast.smpp.codec.errors import PduError
from broadcast.smpp.codec.message import INTERMEDIATE_CLASS, RECEIPT_CLASS, Delivery
from broadcast.smpp.codec.tlv import (
    MESSAGE_PAYLOAD,
    MESSAGE_STATE,
    NETWORK_ERROR_CODE,
    RECEIPTED_MESSAGE_ID,
    parse_tlvs,
)
from schemas.receipt import ReceiptState


class MessageState(IntEnum):
    """message_state (SMPP 3.4, 5.2.28; 0 and 9 from SMPP 5.0)."""

    SCHEDULED = 0
    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8
    SKIPPED = 9


# Records on Kafka have the states of 3.4 only: a scheduled message is on its way, a skipped one was not delivered.
RECEIPT_STATES: Final[Mapping[MessageState, ReceiptState]] = {
    MessageState.SCHEDULED: ReceiptState.ENROUTE,
    MessageState.ENROUTE: ReceiptState.ENROUTE,
    MessageState.DELIVERED: ReceiptState.DELIVERED,
    MessageState.EXPIRED: ReceiptState.EXPIRED,
    MessageState.DELETED: ReceiptState.DELETED,
    MessageState.UNDELIVERABLE: ReceiptState.UNDELIVERABLE,
    MessageState.ACCEPTED: ReceiptState.ACCEPTED,
    MessageState.UNKNOWN: ReceiptState.UNKNOWN,
    MessageState.REJECTED: ReceiptState.REJECTED,
    MessageState.SKIPPED: ReceiptState.UNDELIVERABLE,
}

_STATES: Final[Mapping[bytes, MessageState]] = {
    b"DELIVRD": MessageState.DELIVERED,
    b"DELIVERED": MessageState.DELIVERED,
    b"EXPIRED": MessageState.EXPIRED,
    b"DELETED": MessageState.DELETED,
    b"UNDELIV": MessageState.UNDELIVERABLE,
    b"UNDELIVERABLE": MessageState.UNDELIVERABLE,
    b"UNDELIVERED": MessageState.UNDELIVERABLE,
    b"FAILED": MessageState.UNDELIVERABLE,
    b"ACCEPTD": MessageState.ACCEPTED,
    b"ACCEPTED": MessageState.ACCEPTED,
    b"UNKNOWN": MessageState.UNKNOWN,
    b"REJECTD": MessageState.REJECTED,
    b"REJECTED": MessageState.REJECTED,
    b"ENROUTE": MessageState.ENROUTE,
    b"BUFFRED": MessageState.ENROUTE,
    b"BUFFERED": MessageState.ENROUTE,
    b"SCHEDULED": MessageState.SCHEDULED,
    b"SKIPPED": MessageState.SKIPPED,
}


class ReceiptContent(msgspec.Struct, frozen=True, gc=False):
    """The content of a receipt; fields that it does not have are empty. Dates are raw, without a time zone."""

    message_id: bytes
    state: MessageState
    error: str = ""
    submitted: bytes = b""
    done: bytes = b""

    @property
    def receipt_state(self) -> ReceiptState:
        """The state as it stands in receipts on Kafka."""
        return RECEIPT_STATES[self.state]


_BY_NUMBER: Final[Mapping[int, MessageState]] = {int(state): state for state in MessageState}
_RECEIPT_CLASSES: Final = frozenset([RECEIPT_CLASS, INTERMEDIATE_CLASS])
_ID_FIRST: Final = RECEIPTED_MESSAGE_ID.to_bytes(2, "big") + b"\0"
_STATE_LAST: Final = MESSAGE_STATE.to_bytes(2, "big") + b"\0\1"
# Exactly Appendix B, as most receipts are: four times as fast as the general forms below.
_EXACT: Final = re.compile(
    rb"id:([^\s,;:]+) sub:[0-9]* dlvrd:[0-9]* submit date:([0-9]*) done date:([0-9]*)"
    rb" stat:([A-Z]+) err:([^\s,;:]*)(?: |$)"
)
# The common order; every field but the id may be missing.
_TEXT: Final = re.compile(
    rb"\s*id:\s*(?!(?:sub|dlvrd|submit|done|stat):?)([^\s,;]+)"
    rb"(?:[\s,;]+sub:\s*\S*?)?(?:[\s,;]+dlvrd:\s*\S*?)?"
    rb"(?:[\s,;]+submit[ _]date:\s*([0-9]*)[^\s,;]*)?(?:[\s,;]+done[ _]date:\s*([0-9]*)[^\s,;]*)?"
    rb"[\s,;]+stat:\s*([A-Za-z]+)(?:[\s,;]+err:\s*(?!text:)([^\s,;]*))?",
    re.IGNORECASE,
)
_FIELD: Final = re.compile(
    rb"\b(id|sub|dlvrd|submit[ _]date|done[ _]date|stat|err)\s*[:=]\s*"
    rb"(?!(?:sub|dlvrd|submit[ _]date|done[ _]date|stat|err|text)\s*[:=])([^\s,;]*)",
    re.IGNORECASE,
)
_DATE_FORMATS: Final = {10: "%y%m%d%H%M", 12: "%y%m%d%H%M%S"}
_TEXT_FIELD: Final = re.compile(rb"\btext\s*[:=]", re.IGNORECASE)


def parse_receipt(delivery: Delivery) -> ReceiptContent | None:
    """The receipt in a deliver_sm or data_sm, or None when there is none or it has no message id.

    receipted_message_id and message_state have priority over the text (5.3.2.12, 5.3.2.35); what they do not say is
    read from the text. It is a receipt by esm_class, or by a receipted_message_id where an SMSC does not set the
    class. The message id is raw: see `MessageIdRule`. A state that is not known is UNKNOWN, which is not a failure.
    """
    esm_class = delivery.esm_class & 0x3C
    optional = delivery.optional
    if len(optional) > 4 and optional[:3] == _ID_FIRST and optional[4 + optional[3] : -1] == _STATE_LAST:
        # What nearly every SMSC sends: the id, then the state.
        tagged, text, error = optional[4 : 4 + optional[3]], delivery.short_message, b""
        number = optional[-1:]
    else:
        tlvs = _read_tlvs(optional)
        tagged, number = tlvs.get(RECEIPTED_MESSAGE_ID, b""), tlvs.get(MESSAGE_STATE, b"")
        text = delivery.short_message or tlvs.get(MESSAGE_PAYLOAD, b"")
        network = tlvs.get(NETWORK_ERROR_CODE, b"")
        error = b"%d:%d" % (network[0], int.from_bytes(network[1:], "big")) if len(network) == 3 else b""
    if esm_class not in _RECEIPT_CLASSES and not tagged:
        return None
    message_id, state, stated_error, submitted, done = _parse_text(text)
    if tagged:
        message_id = tagged.partition(b"\0")[0].strip() or message_id
    if not message_id:
        return None
    if len(number) == 1:
        state = _BY_NUMBER.get(number[0], MessageState.UNKNOWN)
    return ReceiptContent(message_id, state, (error or stated_error).decode("latin-1"), submitted, done)


@lru_cache(maxsize=4096)
def seconds_between(submitted: bytes, done: bytes) -> float | None:
    """Seconds from a receipt's submit date to its done date (YYMMDDhhmm, or with ss); None where one is missing.

    Both are of one clock, so that their difference needs no time zone. Many SMSCs give whole minutes.
    """
    try:
        began, ended = (
            datetime.strptime(date.decode(), _DATE_FORMATS[len(date)]).replace(tzinfo=UTC) for date in (submitted, done)
        )
    except (ValueError, KeyError):
        return None
    seconds = (ended - began).total_seconds()
    return seconds if seconds >= 0 else None


def _read_tlvs(optional: bytes) -> Mapping[int, bytes]:
    try:
        return parse_tlvs(optional)
    except PduError:
        # The text may still have everything.
        return {}


def _parse_text(text: bytes) -> tuple[bytes, MessageState, bytes, bytes, bytes]:
    found = _EXACT.match(text) or _TEXT.match(text)
    if found is not None:
        message_id, submitted, done, stat, error = found.groups()
        state = _STATES.get(stat.upper(), MessageState.UNKNOWN)
        return message_id, state, error or b"", submitted or b"", done or b""
    # Another order or other names: find each field in front of the copied text, which may contain the same words.
    copied = _TEXT_FIELD.search(text)
    fields: dict[bytes, bytes] = {}
    for name, value in _FIELD.findall(text[: copied.start()] if copied else text):
        fields.setdefault(name.lower().replace(b"_", b" "), value)
    state = _STATES.get(fields.get(b"stat", b"").upper(), MessageState.UNKNOWN)
    return (
        fields.get(b"id", b""),
        state,
        fields.get(b"err", b""),
        fields.get(b"submit date", b""),
        fields.get(b"done date", b""),
    )


class MessageIdRule(StrEnum):
    """How an account's receipts write the id that its submit responses gave; a setting, never guessed.

    A hex id may consist of digits only, so that an id does not show its form. `hex_to_decimal` is for accounts whose
    response is hex and whose receipt is decimal, `decimal_to_hex` the other way round: both are changed to the form of
    the receipt. Numbers have no limit: ids above 2^63 are in use.
    """

    AS_IS = "as_is"
    CASE_INSENSITIVE = "case_insensitive"
    STRIP_ZEROS = "strip_zeros"
    HEX_TO_DECIMAL = "hex_to_decimal"
    DECIMAL_TO_HEX = "decimal_to_hex"


def _to_decimal(message_id: bytes) -> bytes:
    try:
        return b"%d" % int(message_id, 16)
    except ValueError:
        return message_id


def _to_hex(message_id: bytes) -> bytes:
    return b"%X" % int(message_id) if message_id.isdigit() else message_id


def _strip_decimal(message_id: bytes) -> bytes:
    return message_id.lstrip(b"0") or message_id[-1:]


def _strip_hex(message_id: bytes) -> bytes:
    return _strip_decimal(message_id.upper())


def _keep(message_id: bytes) -> bytes:
    return message_id


_RESPONSE_RULES: Final[Mapping[MessageIdRule, Callable[[bytes], bytes]]] = {
    MessageIdRule.AS_IS: _keep,
    MessageIdRule.CASE_INSENSITIVE: bytes.upper,
    MessageIdRule.STRIP_ZEROS: _strip_hex,
    MessageIdRule.HEX_TO_DECIMAL: _to_decimal,
    MessageIdRule.DECIMAL_TO_HEX: _to_hex,
}
_RECEIPT_RULES: Final[Mapping[MessageIdRule, Callable[[bytes], bytes]]] = {
    **_RESPONSE_RULES,
    MessageIdRule.HEX_TO_DECIMAL: _strip_decimal,
    MessageIdRule.DECIMAL_TO_HEX: _strip_hex,
}


def normalise_response_ids(message_ids: Iterable[bytes], rule: MessageIdRule) -> list[bytes]:
    """Ids of submit responses in the form in which receipts are looked up. An id that does not fit stays as it is."""
    if rule is MessageIdRule.AS_IS:
        return list(message_ids)
    return list(map(_RESPONSE_RULES[rule], message_ids))


def normalise_receipt_ids(message_ids: Iterable[bytes], rule: MessageIdRule) -> list[bytes]:
    """Ids of receipts in the same form."""
    if rule is MessageIdRule.AS_IS:
        return list(message_ids)
    return list(map(_RECEIPT_RULES[rule], message_ids))
