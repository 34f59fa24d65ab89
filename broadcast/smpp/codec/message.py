"""The bodies that carry a short message: submit_sm, deliver_sm, data_sm (SMPP 3.4, 4.4.1, 4.6.1, 4.7.1)."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from broadcast.smpp.codec.command_status import RINVCMDLEN, RINVMSGLEN
from broadcast.smpp.codec.errors import PduError
from broadcast.smpp.codec.tlv import MESSAGE_PAYLOAD, parse_tlvs

# Bits of esm_class (5.2.12): 5 to 2 are the type of a message, with the values of a delivery receipt and of an
# intermediate notification; 6 says that the text begins with a user data header.
MESSAGE_TYPE: Final = 0x3C
UDHI: Final = 0x40
RECEIPT_CLASS: Final = 0x04
INTERMEDIATE_CLASS: Final = 0x20
# One match reads all mandatory fields; 3.4 allows 21 octets for an address, real SMSCs send longer ones.
_MESSAGE: Final = re.compile(
    rb"([^\0]{0,63})\0(..)([^\0]{0,64})\0(..)([^\0]{0,64})\0(...)([^\0]{0,17})\0([^\0]{0,17})\0(.....)", re.DOTALL
)
_DATA: Final = re.compile(rb"([^\0]{0,63})\0(..)([^\0]{0,64})\0(..)([^\0]{0,64})\0(...)", re.DOTALL)


class ShortMessage(msgspec.Struct, frozen=True, gc=False):
    """The body of a submit_sm or deliver_sm; strings without their NUL, `optional` the raw optional parameters."""

    service_type: bytes = b""
    source_ton: int = 0
    source_npi: int = 0
    source: bytes = b""
    destination_ton: int = 0
    destination_npi: int = 0
    destination: bytes = b""
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: bytes = b""
    validity_period: bytes = b""
    registered_delivery: int = 0
    replace_if_present: int = 0
    data_coding: int = 0
    default_message_id: int = 0
    short_message: bytes = b""
    optional: bytes = b""


class Fault(msgspec.Struct, frozen=True, gc=False):
    """Why a body cannot be read, the command_status to answer with (5.1.3), and the body as it came."""

    reason: str
    command_status: int
    body: bytes


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A deliver_sm or data_sm from the SMSC: a receipt, or a message from a phone.

    The SMSC gets a response with the same `sequence` once the delivery is stored. Where `fault` is set, nothing else
    could be read.
    """

    sequence: int
    esm_class: int
    source: bytes
    destination: bytes
    data_coding: int
    short_message: bytes
    optional: bytes
    fault: Fault | None = None

    @property
    def tlvs(self) -> dict[int, bytes]:
        """The optional parameters; PduError when their lengths do not fit."""
        return parse_tlvs(self.optional)

    @property
    def is_receipt(self) -> bool:
        """A delivery receipt or intermediate notification, by esm_class bits 5 to 2 (5.2.12)."""
        return (self.esm_class & MESSAGE_TYPE) in {RECEIPT_CLASS, INTERMEDIATE_CLASS}

    @property
    def text(self) -> bytes:
        """The user data: short_message, or message_payload where that is empty (5.3.2.32). PduError as `tlvs`."""
        if self.short_message or not self.optional:
            return self.short_message
        return self.tlvs.get(MESSAGE_PAYLOAD, b"")


def octets_of(deliveries: Sequence[Delivery]) -> int:
    """Octets of optional parameters, and of the bodies of what cannot be read; a short_message has at most 255."""
    return sum([len(each.optional) if each.fault is None else len(each.fault.body) for each in deliveries])


def encode_message(message: ShortMessage) -> bytes:
    """The body of a submit_sm or deliver_sm. PduError when short_message exceeds 254 octets (3.2.3)."""
    if len(message.short_message) > 254:
        raise PduError(
            f"short_message has {len(message.short_message)} octets, at most 254; use message_payload", RINVMSGLEN
        )
    return (
        b"%b\0%c%c%b\0%c%c%b\0%c%c%c%b\0%b\0%c%c%c%c%c"
        % (
            message.service_type,
            message.source_ton,
            message.source_npi,
            message.source,
            message.destination_ton,
            message.destination_npi,
            message.destination,
            message.esm_class,
            message.protocol_id,
            message.priority_flag,
            message.schedule_delivery_time,
            message.validity_period,
            message.registered_delivery,
            message.replace_if_present,
            message.data_coding,
            message.default_message_id,
            len(message.short_message),
        )
        + message.short_message
        + message.optional
    )


def parse_message(data: bytes, start: int, end: int) -> ShortMessage:
    """The body of a submit_sm or deliver_sm in data[start:end]. PduError when it is cut short."""
    found = _MESSAGE.match(data, start, end)
    if found is None:
        raise PduError("mandatory fields are cut short or too long", RINVCMDLEN)
    service, source_type, source, target_type, target, classes, schedule, validity, rest = found.groups()
    text = found.end() + rest[4]
    if text > end:
        raise PduError(f"sm_length {rest[4]} exceeds the {end - found.end()} octets left", RINVMSGLEN)
    return ShortMessage(
        service,
        source_type[0],
        source_type[1],
        source,
        target_type[0],
        target_type[1],
        target,
        classes[0],
        classes[1],
        classes[2],
        schedule,
        validity,
        rest[0],
        rest[1],
        rest[2],
        rest[3],
        data[found.end() : text],
        data[text:end],
    )


def parse_delivery(data: bytes, start: int, end: int, sequence: int) -> Delivery:
    """The deliver_sm whose body is data[start:end]; only what a receiver needs. PduError when it is cut short."""
    found = _MESSAGE.match(data, start, end)
    if found is None:
        raise PduError("mandatory fields are cut short or too long", RINVCMDLEN)
    _, _, source, _, target, classes, _, _, rest = found.groups()
    begin = found.end()
    text = begin + rest[4]
    if text > end:
        raise PduError(f"sm_length {rest[4]} exceeds the {end - begin} octets left", RINVMSGLEN)
    return Delivery(sequence, classes[0], source, target, rest[2], data[begin:text], data[text:end])


def parse_data_message(data: bytes, start: int, end: int, sequence: int) -> Delivery:
    """The data_sm whose body is data[start:end] (4.7.1); its text is in message_payload."""
    found = _DATA.match(data, start, end)
    if found is None:
        raise PduError("mandatory fields are cut short or too long", RINVCMDLEN)
    _, _, source, _, target, classes = found.groups()
    return Delivery(sequence, classes[0], source, target, classes[2], b"", data[found.end() : end])


def unreadable_delivery(data: bytes, start: int, end: int, sequence: int, error: PduError) -> Delivery:
    """The deliver_sm or data_sm whose body, data[start:end], cannot be read."""
    fault = Fault(str(error), error.command_status, data[start:end])
    return Delivery(sequence, 0, b"", b"", 0, b"", b"", fault)
