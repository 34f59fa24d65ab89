"""The text of a delivery receipt: Appendix B, and all forms in which SMSCs really write it."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final, TypeAlias

from broadcast.smpp.codec.message_ids import LONGEST_ID
from broadcast.smpp.codec.receipt_dates import ISO_DATE, is_date, normal_date

ReceiptFields: TypeAlias = tuple[bytes, bytes, bytes, bytes, bytes]
"""Message id, word of the state, error, submit date and done date; empty where the text does not have it."""

STATE_WORDS: Final[Mapping[bytes, int]] = {
    b"SCHEDULED": 0,
    b"ENROUTE": 1,
    b"BUFFRED": 1,
    b"BUFFERED": 1,
    b"DELIVRD": 2,
    b"DELIVERD": 2,
    b"DELIVERED": 2,
    b"EXPIRED": 3,
    b"DELETED": 4,
    b"UNDELIV": 5,
    b"UNDELIVRD": 5,
    b"UNDELIVERED": 5,
    b"UNDELIVERABLE": 5,
    b"FAILED": 5,
    b"ACCEPTD": 6,
    b"ACCEPTED": 6,
    b"UNKNOWN": 7,
    b"REJECTD": 8,
    b"REJECTED": 8,
    b"SKIPPED": 9,
    **{b"%d" % number: number for number in range(10)},
}
"""message_state (5.2.28; 0 and 9 from SMPP 5.0) by the words of Appendix B, those of vendors, and its own number."""


class Unclassified(StrEnum):
    """Which text makes a deliver_sm a receipt although its esm_class does not say so; a setting of an account.

    `exact`: the whole text is Appendix B, with id, both dates and a known state, which nobody writes by chance.
    `any`: an id and a known state are enough.
    """

    NEVER = "never"
    EXACT = "exact"
    ANY = "any"


# Exactly Appendix B, as most receipts are: four times as fast as the general forms below.
_EXACT: Final = re.compile(
    rb"id:([^\s,;:]{1,%d}) sub:[0-9]* dlvrd:[0-9]* submit date:([0-9]{0,12}) done date:([0-9]{0,12})"
    rb" stat:([A-Z]+) err:([^\s,;:\0]*)(?: |$)" % LONGEST_ID
)
# The common order, and nothing behind it but the copied text; every field but the id and the state may be missing. All
# quantifiers are possessive: what one has taken, no other tries again, so that the time for a text that does not match
# grows with its length only.
_BEFORE: Final = rb"[\s,;]++"
# An empty field has the name of the next one behind its blanks.
_VALUE: Final = rb"(?:\s*+(?!(?:%b):)%b)?+"
_NEXT: Final = rb"sub|dlvrd|submit[ _]date|done[ _]date|stat"
_ANYTHING: Final = _VALUE % (_NEXT, rb"[^\s,;]*+")
_DATE: Final = _VALUE % (_NEXT, rb"(%b|[0-9]{0,12}+)(?![^\s,;])" % ISO_DATE)
_ERROR: Final = _VALUE % (_NEXT + rb"|text", rb"([^\s,;\0]*+)")
_COMMON: Final = re.compile(
    rb"\s*+id:\s*+(?!(?:sub|dlvrd|submit|done|stat):?)([^\s,;]{1,%d}+)" % LONGEST_ID
    + rb"(?:%bsub:%b)?+(?:%bdlvrd:%b)?+" % (_BEFORE, _ANYTHING, _BEFORE, _ANYTHING)
    + rb"(?:%bsubmit[ _]date:%b)?+(?:%bdone[ _]date:%b)?+" % (_BEFORE, _DATE, _BEFORE, _DATE)
    + rb"%bstat:\s*+([A-Za-z]++)(?:%berr:%b)?+[\s,;\0]*+(?:text:|$)" % (_BEFORE, _BEFORE, _ERROR),
    re.IGNORECASE,
)
_NAMES: Final = (
    rb"(?:message[ _]?|msg[ _]?)?id|sub|dlvrd|submit[\s_]?date|done[\s_]?date|stat(?:us|e)?|err(?:or)?(?:[ _]?code)?"
)
_FIELD: Final = re.compile(
    rb"(?<![A-Za-z0-9_])(%b)\s*[:=]\s*(?!(?:%b|text)\s*[:=])(%b|[^\s,;|\0]*)" % (_NAMES, _NAMES, ISO_DATE),
    re.IGNORECASE,
)
_COPIED_TEXT: Final = re.compile(rb"\btext\s*[:=]", re.IGNORECASE)
_ID_ALONE: Final = re.compile(rb"[^\s:=]{1,%d}" % LONGEST_ID)
# Nobody writes this by chance: from beginning to end, in its order, with both dates.
_UNMISTAKABLE: Final = re.compile(
    rb"id:[^\s,;:]{1,%d} (?:sub:[0-9]{1,4} )?(?:dlvrd:[0-9]{1,4} )?submit date:[0-9]{10,14} done date:[0-9]{10,14}"
    rb" stat:([A-Z]{6,13})(?: err:[0-9A-Za-z]{0,8})?(?: text:.*)?\s*" % LONGEST_ID,
    re.IGNORECASE | re.DOTALL,
)
_LONGEST_DATE: Final = 12
"""Digits of a date of Appendix B with seconds; a longer one is in another form."""
_UCS2: Final = 8
_LOOKED_AT: Final = 512
"""Characters of a text; a receipt has less, and a hostile one must not keep the patterns busy."""


def read_fields(text: bytes) -> ReceiptFields | None:
    """The fields of a text in the usual order; None when it has another form. The fast way for nearly all receipts."""
    found = _EXACT.match(text) or _COMMON.match(text, 0, _LOOKED_AT)
    if found is None:
        return None
    message_id, submitted, done, stat, error = found.groups(b"")
    if len(submitted) > _LONGEST_DATE or len(done) > _LONGEST_DATE:
        submitted, done = normal_date(submitted), normal_date(done)
    return message_id, stat.upper(), error, submitted, done


def read_unusual_fields(text: bytes, payload: bytes, data_coding: int, *, header: bool) -> ReceiptFields:
    """The fields of a receipt in any other form: UCS-2, other names or order, comma-separated, in message_payload.

    `header` says that the text begins with a user data header (esm_class 0x40). All fields are empty when there is
    no message id.
    """
    for octets in _plain_texts(text, payload, data_coding, header=header):
        found = read_fields(octets) or _read_named(octets) or _read_separated(octets)
        if found is not None:
            return found
    return b"", b"", b"", b"", b""


def is_receipt_text(text: bytes, payload: bytes, data_coding: int, wanted: Unclassified) -> bool:
    """Whether a text alone says that it is a receipt, by what the account's setting asks of it."""
    if wanted is Unclassified.NEVER:
        return False
    for octets in _plain_texts(text, payload, data_coding, header=False):
        if wanted is Unclassified.ANY:
            found = read_fields(octets) or _read_named(octets) or _read_separated(octets)
            if found is not None and found[1] in STATE_WORDS:
                return True
        else:
            exact = _UNMISTAKABLE.fullmatch(octets)
            if exact is not None and exact[1].upper() in STATE_WORDS:
                return True
    return False


def _plain_texts(text: bytes, payload: bytes, data_coding: int, *, header: bool) -> Iterator[bytes]:
    """short_message, then message_payload, each as single octets."""
    for octets in (text, payload):
        if octets:
            begin = octets[0] + 1 if header else 0
            yield _to_single_octets(octets[begin : begin + 2 * _LOOKED_AT], data_coding)[:_LOOKED_AT]


def _to_single_octets(text: bytes, data_coding: int) -> bytes:
    """UCS-2 as Latin-1; whether it is UCS-2 is seen at its zeros too: some SMSCs give it a wrong data_coding."""
    start = text[:2]
    if start == b"\xff\xfe" or (len(start) == 2 and start[1] == 0 and start[0]):
        coding = "utf-16-le"
    elif start == b"\xfe\xff" or (len(start) == 2 and start[0] == 0) or (data_coding == _UCS2 and 0 in text):
        coding = "utf-16-be"
    else:
        return text
    return text.decode(coding, "replace").lstrip("\ufeff").encode("latin-1", "backslashreplace")


def _read_named(text: bytes) -> ReceiptFields | None:
    # Each field in front of the copied text, which may contain the same words.
    copied = _COPIED_TEXT.search(text)
    fields: dict[bytes, bytes] = {}
    for name, value in _FIELD.findall(text[: copied.start()] if copied else text):
        fields.setdefault(_short_name(name.lower()), value)
    message_id = fields.get(b"id", b"")
    if not message_id or len(message_id) > LONGEST_ID:
        return None
    return (
        message_id,
        fields.get(b"stat", b"").upper(),
        fields.get(b"err", b""),
        normal_date(fields.get(b"submit", b"")),
        normal_date(fields.get(b"done", b"")),
    )


def _short_name(name: bytes) -> bytes:
    if name.endswith(b"id"):
        return b"id"
    return next((short for short in (b"stat", b"err", b"submit", b"done") if name.startswith(short)), name)


def _read_separated(text: bytes) -> ReceiptFields | None:
    """Values without names, with commas, semicolons or bars between them: the id first, then one known state."""
    separator = next((each for each in (b",", b";", b"|") if each in text), b",")
    values = [value.strip(b" \t\r\n\"'") for value in text.split(separator)]
    at = next((at for at, value in enumerate(values) if at and value.isalpha() and value.upper() in STATE_WORDS), 0)
    if not at or not _ID_ALONE.fullmatch(values[0]):
        return None
    dates = [value for value in values[1:at] if is_date(value)] or [
        value for value in values[at + 1 :] if is_date(value)
    ]
    rest = [value for value in values[at + 1 :] if not is_date(value)]
    error = rest[0] if rest and len(rest[0]) <= 8 and b" " not in rest[0] else b""
    dates = [normal_date(date) for date in dates]
    submitted, done = (dates[0], dates[-1]) if len(dates) > 1 else (b"", b"".join(dates))
    return values[0], values[at].upper(), error, submitted, done
