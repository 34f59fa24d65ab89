"""One submit_sm per alert text, of which only the sequence number and the destination vary (SMPP 3.4, 4.4.1)."""

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from broadcast.smpp.codec.command_status import RINVDSTADR
from broadcast.smpp.codec.errors import PduError
from broadcast.smpp.codec.message import ShortMessage, encode_message
from broadcast.smpp.codec.pdu import HEADER, HEADER_LENGTH, SUBMIT_SM
from broadcast.smpp.codec.tlv import MESSAGE_PAYLOAD, encode_tlvs

DESTINATION_LIMIT: Final = 20  # 5.2.9: 21 octets with the NUL


class SubmitTemplate:
    """A submit_sm without sequence number and destination: made once per segment, rendered for thousands.

    `text` is the short_message as it goes on the air interface, with its UDH where esm_class says so (0x40); above
    254 octets, or with `payload=True`, it goes as message_payload with sm_length 0 (5.2.21). `validity_period` is
    empty or 16 characters (7.1.1). `priority_flag` 3 asks for an attempt even to phones that are known to be off
    (5.2.14). `replace_if_present` 1 replaces what the SMSC holds of the same sender, destination and service_type
    (5.2.18). `tlvs` are appended as given, for example the sar_* set, which excludes a UDH (5.2.12).
    """

    __slots__ = ("_blocks", "_head", "_tail", "text")

    def __init__(
        self,
        *,
        source: bytes,
        text: bytes,
        source_ton: int = 5,
        source_npi: int = 0,
        destination_ton: int = 1,
        destination_npi: int = 1,
        esm_class: int = 0,
        protocol_id: int = 0,
        priority_flag: int = 0,
        validity_period: bytes = b"",
        registered_delivery: int = 1,
        data_coding: int = 0,
        replace_if_present: int = 0,
        service_type: bytes = b"",
        payload: bool = False,
        tlvs: Iterable[tuple[int, bytes]] = (),
    ) -> None:
        self.text: Final = text
        optional = list(tlvs)
        if payload or len(text) > 254:
            optional.append((MESSAGE_PAYLOAD, text))
            text = b""
        marker = b"\x01destination\x01"
        body = encode_message(
            ShortMessage(
                service_type=service_type,
                source_ton=source_ton,
                source_npi=source_npi,
                source=source,
                destination_ton=destination_ton,
                destination_npi=destination_npi,
                destination=marker,
                esm_class=esm_class,
                protocol_id=protocol_id,
                priority_flag=priority_flag,
                validity_period=validity_period,
                registered_delivery=registered_delivery,
                replace_if_present=replace_if_present,
                data_coding=data_coding,
                short_message=text,
                optional=encode_tlvs(optional),
            )
        )
        self._head, _, self._tail = body.partition(marker)
        self._blocks: dict[int, tuple[bytes, Callable[..., None]]] = {}

    def _block(self, digits: int) -> tuple[bytes, Callable[..., None]]:
        """The whole PDU for a destination of `digits` octets, and the packer of (sequence, head, destination)."""
        block = self._blocks.get(digits)
        if block is None:
            if not 0 < digits <= DESTINATION_LIMIT:
                raise PduError(f"destination_addr has {digits} octets, not 1 to {DESTINATION_LIMIT}", RINVDSTADR)
            length = HEADER_LENGTH + len(self._head) + digits + len(self._tail)
            pdu = HEADER.pack(length, SUBMIT_SM, 0, 0) + self._head + bytes(digits) + self._tail
            block = (pdu, struct.Struct(f">I{len(self._head)}s{digits}s").pack_into)
            self._blocks[digits] = block
        return block

    def check(self, destinations: Iterable[bytes]) -> None:
        """PduError unless every destination has 1 to 20 octets."""
        for digits in set(map(len, destinations)):
            self._block(digits)

    def append_to(self, buffer: bytearray, sequence: int, destination: bytes) -> None:
        """Append one submit_sm to `buffer`. PduError when the destination has not 1 to 20 octets."""
        pdu, pack_into = self._block(len(destination))
        offset = len(buffer) + 12
        buffer += pdu
        pack_into(buffer, offset, sequence, self._head, destination)

    def render(self, sequences: Sequence[int], destinations: Sequence[bytes]) -> bytearray:
        """One submit_sm for each pair, in order, as one piece for one write. Both must be of one length.

        PduError, before anything is rendered, when a destination has not 1 to 20 octets.
        """
        head = self._head
        digits = len(destinations[0]) if destinations else 1
        lengths = set(map(len, destinations))
        if len(lengths) > 1:
            self.check(destinations)
            buffer = bytearray()
            for sequence, destination in zip(sequences, destinations, strict=True):
                pdu, pack_into = self._blocks[len(destination)]
                offset = len(buffer) + 12
                buffer += pdu
                pack_into(buffer, offset, sequence, head, destination)
            return buffer
        pdu, pack_into = self._block(digits)
        length = len(pdu)
        buffer = bytearray(pdu) * len(destinations)
        for offset, sequence, destination in zip(range(12, len(buffer), length), sequences, destinations, strict=True):
            pack_into(buffer, offset, sequence, head, destination)
        return buffer
