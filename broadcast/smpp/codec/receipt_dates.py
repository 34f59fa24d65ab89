"""The dates of a receipt, in all forms in which SMSCs write them."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

ISO_DATE: Final = (
    rb"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
    rb"(?: ?[Zz]| ?[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
"""A pattern of dates as ISO 8601 writes them, also with a blank in the place of `T`."""

_IS_ISO: Final = re.compile(ISO_DATE)
_ABSOLUTE: Final = re.compile(rb"([0-9]{12})[0-9]([0-9]{2})([+-])")
_WITH_CENTURY: Final = re.compile(rb"20([0-9]{12})")
_IS_DATE: Final = re.compile(rb"[0-9]{10}(?:[0-9]{2}){0,2}|[0-9]{15}[+-]|" + ISO_DATE)
_MINUTES: Final = "%y%m%d%H%M"
_SECONDS: Final = "%y%m%d%H%M%S"
_FORMATS: Final = {10: _MINUTES, 12: _SECONDS}


def is_date(value: bytes) -> bool:
    """Whether a value without a name has the form of a date."""
    return _IS_DATE.fullmatch(value) is not None


@lru_cache(maxsize=4096)
def normal_date(value: bytes) -> bytes:
    """A date as YYMMDDhhmm or YYMMDDhhmmss, in UTC where it says its time zone.

    Read are ISO 8601, YYYYMMDDhhmmss, and the absolute time of SMPP (7.1.1). Of anything else its first digits.
    """
    try:
        if _IS_ISO.fullmatch(value):
            return _normal_iso(value)
        if absolute := _ABSOLUTE.fullmatch(value):
            ahead = timedelta(minutes=15 * int(absolute[2]) * (1 if absolute[3] == b"+" else -1))
            return (datetime.strptime(absolute[1].decode(), _SECONDS) - ahead).strftime(_SECONDS).encode()  # noqa: DTZ007
    except (ValueError, OverflowError):
        return b""
    if with_century := _WITH_CENTURY.fullmatch(value):
        return with_century[1]
    return value[: len(value) - len(value.lstrip(b"0123456789"))]


def _normal_iso(value: bytes) -> bytes:
    has_second = value[16:17] == b":"
    instant = datetime.fromisoformat((value[:11] + value[11:].replace(b" ", b"")).decode().upper())
    if instant.tzinfo is not None:
        instant = instant.astimezone(UTC)
    return instant.strftime(_SECONDS if has_second else _MINUTES).encode()


def has_seconds(date: bytes) -> bool:
    """Whether a date is to the second, and not to the minute."""
    return _FORMATS.get(len(date)) == _SECONDS


@lru_cache(maxsize=4096)
def seconds_between(submitted: bytes, done: bytes) -> float | None:
    """Seconds from a receipt's submit date to its done date (YYMMDDhhmm, or with ss); None where one is missing.

    Both are of one clock, so that their difference needs no time zone. Many SMSCs give whole minutes.
    """
    began, ended = read_date(submitted), read_date(done)
    return None if began is None or ended is None or ended < began else ended - began


def read_date(date: bytes) -> float | None:
    """A receipt's date in seconds since the epoch, read as UTC; None for what is no date."""
    try:
        return datetime.strptime(date.decode(), _FORMATS[len(date)]).replace(tzinfo=UTC).timestamp()
    except (ValueError, KeyError):
        return None
