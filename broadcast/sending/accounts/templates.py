"""Segments of a text as submit_sm templates, in the form that an account wants."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from zlib import crc32

from broadcast.routing import Account
from broadcast.routing.fields import LongMessages, Validity
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.codec.tlv import (
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
    USER_MESSAGE_REFERENCE,
)
from broadcast.text import Encoding, Segment
from schemas.control import Control

MINUTE_MS: Final = 60_000
WHOLE: Final = 0
"""The number of a segment that carries all of a text of several segments."""

_LONGEST_DAYS: Final = 30


def make_template(
    account: Account, control: Control, part: Segment, now: int, expires_at: int | None = None
) -> SubmitTemplate:
    """The submit_sm of one segment. Nothing in it is of one recipient.

    `now` and `expires_at`, the end of the text, are milliseconds since the epoch; without an end it is the alert's.
    """
    text, esm_class, tlvs = _lay_out(account, part)
    if account.user_message_reference:
        tlvs.append((USER_MESSAGE_REFERENCE, _reference_copy(control, part).to_bytes(2, "big")))
    ton, npi = account.source_type
    return SubmitTemplate(
        source=account.source_addr.encode("ascii"),
        text=text,
        source_ton=ton,
        source_npi=npi,
        destination_ton=account.dest_ton,
        destination_npi=account.dest_npi,
        esm_class=esm_class,
        priority_flag=account.priority_flag.of(control.lane),
        validity_period=_choose_validity(account, control.expires_at if expires_at is None else expires_at, now),
        registered_delivery=1 if account.receipts else 0,
        data_coding=_choose_data_coding(account, control, part.encoding),
        replace_if_present=int(account.replace_if_present),
        service_type=account.service_type.encode("ascii"),
        payload=part.number == WHOLE,
        tlvs=tlvs,
    )


def join_segments(parts: Sequence[Segment]) -> Segment:
    """All segments of a text as one, for message_payload."""
    first = parts[0]
    return Segment(WHOLE, first.total, first.encoding, 0, first.data_coding, b"".join(part.body for part in parts))


def _lay_out(account: Account, part: Segment) -> tuple[bytes, int, list[tuple[int, bytes]]]:
    """short_message, esm_class and optional parameters of one segment.

    A segment has as much text in each form: where a retry goes by another account, its segments must be the same.
    """
    if part.number == WHOLE or part.total == 1 or account.long_messages in {LongMessages.UDH, LongMessages.PAYLOAD}:
        return part.short_message, part.esm_class, []
    if account.long_messages is LongMessages.UDH8:
        header = bytes([5, 0x00, 3, part.reference & 0xFF, part.total, part.number])
        return header + part.body, part.esm_class, []
    return (
        part.body,
        0,
        [
            (SAR_MSG_REF_NUM, part.reference.to_bytes(2, "big")),
            (SAR_TOTAL_SEGMENTS, bytes([part.total])),
            (SAR_SEGMENT_SEQNUM, bytes([part.number])),
        ],
    )


def _reference_copy(control: Control, part: Segment) -> int:
    """0 to 65535, the same on each copy of a segment to a phone (SMPP 3.4, section 5.3.2.17)."""
    return crc32(part.short_message, crc32(control.alert_id.encode())) & 0xFFFF


def _choose_data_coding(account: Account, control: Control, encoding: Encoding) -> int:
    if account.flash.of(control.lane):
        return account.data_coding_gsm_flash if encoding is Encoding.GSM7 else account.data_coding_ucs2_flash
    return account.data_coding_gsm if encoding is Encoding.GSM7 else account.data_coding_ucs2


def _choose_validity(account: Account, expires_at: int, now: int) -> bytes:
    if account.validity is Validity.OFF:
        return b""
    limit = account.validity_limit_seconds
    if account.validity is Validity.ABSOLUTE:
        return write_absolute(expires_at if limit is None else min(expires_at, now + limit * 1000))
    minutes = minutes_left(expires_at, now)
    return write_relative(minutes if limit is None else min(minutes, limit // 60))


def minutes_left(expires_at: int, now: int) -> int:
    """Minutes until an alert expires, rounded up, at least 1; both in milliseconds since the epoch."""
    return max(1, -(-(expires_at - now) // MINUTE_MS))


def write_relative(minutes: int) -> bytes:
    """A relative validity period (SMPP 3.4, section 7.1.1.2): YYMMDDhhmmss000R, here in days, hours and minutes.

    It is the usual form, because an SMSC whose clock or zone is wrong drops an absolute one too early or too late.
    """
    days, rest = divmod(minutes, 24 * 60)
    return b"0000%02d%02d%02d00000R" % (min(days, _LONGEST_DAYS), *divmod(rest, 60))


def write_absolute(expires_at: int) -> bytes:
    """An absolute validity period (SMPP 3.4, section 7.1.1.1): YYMMDDhhmmss000+ in UTC, from milliseconds."""
    instant = datetime.fromtimestamp(expires_at // 1000, UTC)
    return instant.strftime("%y%m%d%H%M%S").encode() + b"000+"
