"""The scalar types of CAP 1.2 as pydantic annotations: what one value must look like, whatever element holds it.

Each check raises `PydanticCustomError` whose type is the rule's id (R1 to R22, docs/cap.md), so that a finding, a
problem document and a dead letter can name field and rule alike.
"""

import re
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, StringConstraints
from pydantic_core import PydanticCustomError

from schemas.bounds import LANGUAGE_LENGTH_MAX, LIST_LENGTH_MAX

POINTS_MAX = 10_000
"""Most points of one polygon; geometry is not looked at beyond it (R22)."""

NUMBER_LENGTH_MAX = 40
"""Most characters of a coordinate or radius."""

YEARS = range(1900, 3000)
"""Years that instants may lie in, far enough from the ends of the calendar that sums and offsets stay within."""

_ID = re.compile(r"[^\s,&<]+")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+](0\d:[0-5]\d|1[0-3]:[0-5]\d|14:00)", re.ASCII)
_LANGUAGE = re.compile(r"[a-zA-Z]{1,8}(-[a-zA-Z0-9]{1,8})*")
_MIME = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(\s*;.*)?", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]*+={0,2}\s*+")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_DIGITS = re.compile(r"[-+]?\d+", re.ASCII)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME = re.compile(r'"([^"]*)"|([^\s"]+)')


def broken(rule: str, message: str) -> PydanticCustomError:
    """The error of one broken rule; `message` says what is wrong and what to write instead."""
    return PydanticCustomError(rule, "{rule}: {reason}", {"rule": rule, "reason": message})


def check_text(text: str) -> str:
    """Text that XML 1.0 and PostgreSQL can hold: no NUL, no other control character, no lone surrogate (R20)."""
    found = _NOT_XML.search(text)
    if found:
        raise broken(
            "R20", f"U+{ord(found.group()):04X} at position {found.start()} is not an XML character; remove it"
        )
    return text


def check_id(text: str) -> str:
    """An identifier or sender: non-empty, without white space, comma, `<` or `&` (R1)."""
    if not _ID.fullmatch(text):
        raise broken("R1", "must be non-empty and hold no white space, comma, '<' or '&'")
    return text


def read_instant(value: Any) -> datetime:
    """`YYYY-MM-DDThh:mm:ss±hh:mm` (R2), or an aware datetime without a fraction, as an aware datetime.

    `Z`, fractions and the comma that the XSD's pattern lets through are refused, and so are days that do not exist.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise broken("R2", "the time has no offset from UTC; add one, such as -00:00")
        if value.microsecond:
            raise broken("R2", "the time has a fraction of a second; CAP times have none")
        return check_year(value)
    if not isinstance(value, str) or not _INSTANT.fullmatch(value.strip()):
        raise broken("R2", "must be written YYYY-MM-DDThh:mm:ss+hh:mm (UTC is -00:00; no Z, no fraction)")
    text = value.strip()
    # XML's schema lets the end of a day be written as its 24th hour.
    ends_day = text[11:19] == "24:00:00"
    try:
        instant = datetime.fromisoformat(f"{text[:11]}00{text[13:]}" if ends_day else text)
        instant += timedelta(days=ends_day)
    except (ValueError, OverflowError):
        raise broken("R2", "is not a time that exists in the calendar") from None
    return check_year(instant if instant.utcoffset() else instant.replace(tzinfo=UTC))


def check_year(instant: datetime) -> datetime:
    """An instant within `YEARS` (R2)."""
    if instant.year not in YEARS:
        raise broken("R2", f"the year {instant.year} is not within {YEARS.start} to {YEARS.stop - 1}")
    return instant


def write_instant(instant: datetime) -> str:
    """An instant as CAP writes it (R2): UTC as `-00:00`."""
    text = instant.isoformat(timespec="seconds")
    return text[:-6] + "-00:00" if text.endswith("+00:00") else text


def check_language(text: str) -> str:
    """An RFC 3066 tag (R3)."""
    if not _LANGUAGE.fullmatch(text) or len(text) > LANGUAGE_LENGTH_MAX:
        raise broken("R3", "is not a language tag such as en-US or de")
    return text


def check_mime(text: str) -> str:
    """`type/subtype` (R10)."""
    if not _MIME.fullmatch(text):
        raise broken("R10", "must be type/subtype, such as image/png")
    return text


def check_base64(text: str) -> str:
    """Base64 content (R10)."""
    if not _BASE64.fullmatch(text) or len("".join(text.split())) % 4:
        raise broken("R10", "is not base64")
    return text


def check_digits(value: Any) -> Any:
    """A whole number as XML writes it: digits, without `_`, point or exponent."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value.strip()):
        raise broken("6.1", "must be a whole number, written in digits")
    return value


def check_decimal(value: Any) -> Any:
    """A decimal number as XML writes it: digits and a point, without `_` or exponent."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise broken("6.1", "must be a decimal number, written in digits and a point")
    return value


def read_point(text: str, rule: str) -> tuple[float, float]:
    """`lat,lon` in WGS84 degrees as (latitude, longitude); latitude first (R11)."""
    parts = text.split(",")
    if len(parts) != 2 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise broken(rule, f"{text[:40]!r} is not a point 'latitude,longitude'")
    if len(text) > 2 * NUMBER_LENGTH_MAX:
        raise broken("R22", f"{text[:40]!r} has {len(text)} characters, more than {2 * NUMBER_LENGTH_MAX}; round it")
    latitude, longitude = float(parts[0]), float(parts[1])
    if not -90 <= latitude <= 90:
        raise broken(rule, f"latitude {parts[0]} is not within -90 to 90; CAP writes the latitude first")
    if not -180 <= longitude <= 180:
        raise broken(rule, f"longitude {parts[1]} is not within -180 to 180")
    return latitude, longitude


def check_polygon(text: str) -> str:
    """At least four points, the last equal to the first (R11); white space becomes single spaces."""
    pairs = text.split(None, POINTS_MAX)
    if len(pairs) > POINTS_MAX:
        raise broken("R22", f"has more than {POINTS_MAX} points; simplify the polygon")
    points = [read_point(pair, "R11") for pair in pairs]
    if len(points) < 4:
        raise broken("R11", f"has {len(points)} points; a polygon needs at least 4, the last equal to the first")
    if points[0] != points[-1]:
        raise broken("R11", "is not closed; repeat the first point at the end")
    return " ".join(pairs)


def check_circle(text: str) -> str:
    """`lat,lon radius`, the radius in kilometres and not negative (R12)."""
    parts = text.split(None, 2)
    if len(parts) != 2 or len(parts[1]) > NUMBER_LENGTH_MAX or not _NUMBER.fullmatch(parts[1]) or float(parts[1]) < 0:
        raise broken("R12", "must be 'latitude,longitude radius', the radius in kilometres and not negative")
    read_point(parts[0], "R12")
    return " ".join(parts)


def split_names(text: str, rule: str = "R5") -> tuple[str, ...]:
    """The names of a space-delimited list in which names with white space stand in double quotes (R5, R7)."""
    found = list(islice(_NAME.finditer(text), LIST_LENGTH_MAX + 1))
    if len(found) > LIST_LENGTH_MAX:
        raise broken("R22", f"has more than {LIST_LENGTH_MAX} names; name a group that holds them")
    names = tuple((each[1] or each[2] or "").strip() for each in found)
    if _NAME.sub("", text).strip() or not all(names):
        raise broken(rule, 'separate names by spaces; put a name with spaces in double quotes ("flood plain")')
    return names


def _none_if_empty(value: Any) -> Any:
    """R17: an optional element that is present but empty counts as absent."""
    return None if isinstance(value, str) and not value.strip() else value


Text = Annotated[str, AfterValidator(check_text)]
StrippedText = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(check_text)]
RequiredText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(check_text)]
OptionalText = Annotated[Text | None, BeforeValidator(_none_if_empty)]
Id = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=255), AfterValidator(check_id), AfterValidator(check_text)
]
Instant = Annotated[datetime, BeforeValidator(read_instant), PlainSerializer(write_instant, str, when_used="json")]
OptionalInstant = Annotated[Instant | None, BeforeValidator(_none_if_empty)]
Language = Annotated[
    str,
    BeforeValidator(lambda value: "en-US" if value is None or value == "" else value),
    AfterValidator(check_language),
]
Mime = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(check_mime)]
Base64 = Annotated[Annotated[str, AfterValidator(check_base64)] | None, BeforeValidator(_none_if_empty)]
Polygon = Annotated[str, AfterValidator(check_polygon)]
Circle = Annotated[str, AfterValidator(check_circle)]
GroupName = Annotated[RequiredText, StringConstraints(max_length=255, pattern=r'^[^"]+$')]
"""The name of a target group; without a double quote, so that `addresses` can hold it."""
