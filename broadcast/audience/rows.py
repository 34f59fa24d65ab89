"""Rows of a CSV of recipients to lines for COPY, in blocks, with what is wrong with them. Pure: workers run it."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from broadcast.audience.numbers import NumberError, normalise
from broadcast.errors import InputError

ALIASES: dict[str, tuple[str, ...]] = {
    "external_id": ("external_id", "externalid", "id", "person_id", "reference"),
    "msisdn": ("msisdn", "phone", "phone_number", "number", "mobile", "telephone"),
    "language": ("language", "lang", "locale"),
    "groups": ("groups", "group"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon", "lng", "long"),
    "participant": ("participant", "exercise"),
}
"""What a column may be called; case, spaces, hyphens and underscores make no difference."""

FIELD_OF_NAME = {name.replace("_", ""): field for field, names in ALIASES.items() for name in names}


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each field stands in a row, counted from 0; None: the file does not have it."""

    width: int
    msisdn: int
    external_id: int | None = None
    language: int | None = None
    groups: int | None = None
    latitude: int | None = None
    longitude: int | None = None
    participant: int | None = None
    unknown: tuple[str, ...] = ()


def read_header(header: Sequence[str]) -> Columns:
    """The columns that a header names; unknown ones are kept by name, to be reported.

    Raises InputError when two columns name one field, or none names the phone number.
    """
    places: dict[str, int] = {}
    unknown = []
    for place, title in enumerate(header):
        field = FIELD_OF_NAME.get("".join(title.split()).replace("_", "").replace("-", "").lower())
        if field is None:
            unknown.append(title)
        elif field in places:
            raise InputError(f"columns {header[places[field]]!r} and {title!r} both name {field}: keep one of them")
        else:
            places[field] = place
    if "msisdn" not in places:
        wanted = ", ".join(ALIASES["msisdn"])
        raise InputError(f"header {', '.join(header)!r} names no phone number: call that column one of {wanted}")
    return Columns(width=len(header), unknown=tuple(unknown), **places)


COPIED = ("line", "external_id", "msisdn", "language", "latitude", "longitude", "participant", "groups")
"""The columns of a converted line, in PostgreSQL's text format of COPY."""

NULL = r"\N"
SEPARATOR = "|"
LONGEST_NAME = 200
LONGEST_SHOWN = 60
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{1,8})*", re.ASCII)
DIGIT_RUN = re.compile(r"\d(?:[ ().-]*\d){5,}")
PARTICIPANT = {"": NULL} | dict.fromkeys(("1", "true", "t", "yes", "y", "x"), "t")
PARTICIPANT |= dict.fromkeys(("0", "false", "f", "no", "n"), "f")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with one row: line in the file, field, value with numbers masked, reason.

    `loaded` says whether the person is in the directory all the same: only a number that cannot be dialled, an
    identity that is not clear, or a row that cannot be read leaves somebody out.
    """

    line: int
    field: str
    value: str
    loaded: bool
    reason: str


@dataclass(slots=True)
class Converted:
    """One block: rows read, rows good, these as lines for COPY, and the findings."""

    rows: int
    good: int = 0
    lines: bytes = b""
    findings: list[Finding] = field(default_factory=list)


def mask(value: str) -> str:
    """A value fit for a report: of every run of six digits or more only the last two are left."""
    return DIGIT_RUN.sub(lambda run: "•" * (len(run[0]) - 2) + run[0][-2:], value)[:LONGEST_SHOWN]


def convert(rows: Sequence[tuple[int, list[str]]], columns: Columns, region: str | None) -> Converted:
    """Convert rows, each with its line number, to lines with the columns `COPIED`; findings in the rows' order."""
    done = Converted(rows=len(rows))
    lines = []
    for line, row in rows:
        converted = _convert(line, [cell.strip() for cell in row], columns, region, done.findings)
        if converted is not None:
            lines.append(converted)
    done.good = len(lines)
    done.lines = "".join(lines).encode()
    return done


def _convert(line: int, row: list[str], columns: Columns, region: str | None, findings: list[Finding]) -> str | None:
    """One line for COPY, or None when the row cannot be loaded; either way its findings are added."""

    def cell(place: int | None) -> str:
        return row[place] if place is not None and place < len(row) else ""

    def find(name: str, value: str, reason: str, *, loaded: bool) -> None:
        findings.append(Finding(line, name, mask(value), loaded, reason))

    if len(row) > columns.width and any(row[columns.width :]):
        count = f"{len(row)} cells, the header {columns.width}"
        find("row", "", f"has {count}: put cells with a separator in quotes", loaded=False)
        return None
    number = cell(columns.msisdn)
    if not number:
        find("msisdn", "", "is empty", loaded=False)
        return None
    try:
        msisdn = normalise(number, region)
    except NumberError as error:
        find("msisdn", number, str(error), loaded=False)
        return None
    external_id = cell(columns.external_id)
    if len(external_id) > LONGEST_NAME or CONTROL.search(external_id):
        reason = f"has a control character or more than {LONGEST_NAME} characters"
        find("external_id", external_id, reason, loaded=False)
        return None

    language = _language(cell(columns.language))
    if language is None:
        find("language", cell(columns.language), "is not a language tag like de or de-AT: left empty", loaded=True)
    groups = _groups(cell(columns.groups))
    if groups is None:
        reason = f"hold a control character or a name of more than {LONGEST_NAME} characters: no group joined"
        find("groups", cell(columns.groups), reason, loaded=True)
    latitude, longitude = cell(columns.latitude), cell(columns.longitude)
    place = _place(latitude, longitude)
    if place is None:
        reason = "are not both degrees, -90 to 90 and -180 to 180: left empty"
        find("latitude, longitude", f"{latitude}, {longitude}", reason, loaded=True)
    participant = PARTICIPANT.get(cell(columns.participant).lower())
    if participant is None:
        find("participant", cell(columns.participant), "is neither yes nor no: taken as no", loaded=True)
    return "\t".join(
        (
            str(line),
            external_id.replace("\\", "\\\\") if external_id else NULL,
            msisdn,
            language or NULL,
            place or f"{NULL}\t{NULL}",
            participant or "f",
            f"{NULL if groups is None else groups}\n",
        )
    )


@lru_cache(4096)
def _language(text: str) -> str | None:
    """The tag in lower case, NULL for none, None for what is not a tag."""
    if not text:
        return NULL
    tag = text.replace("_", "-").lower()
    return tag if LANGUAGE.fullmatch(tag) else None


@lru_cache(4096)
def _groups(text: str) -> str | None:
    """The names, each once, in order, joined by `SEPARATOR` and escaped for COPY; None if one cannot be a name."""
    composed = unicodedata.normalize("NFC", text)
    names = sorted({name.strip() for name in composed.replace(";", SEPARATOR).split(SEPARATOR)} - {""})
    if any(len(name) > LONGEST_NAME or CONTROL.search(name) for name in names):
        return None
    return SEPARATOR.join(names).replace("\\", "\\\\")


def _place(latitude: str, longitude: str) -> str | None:
    """Both coordinates for COPY, NULLs for none, None for what is no place on Earth."""
    if not latitude and not longitude:
        return f"{NULL}\t{NULL}"
    try:
        north, east = float(latitude.replace(",", ".")), float(longitude.replace(",", "."))
    except ValueError:
        return None
    return f"{north!r}\t{east!r}" if -90 <= north <= 90 and -180 <= east <= 180 else None
