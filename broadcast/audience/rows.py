"""Rows of a CSV of recipients to lines for COPY, in blocks, with what is wrong with them. Pure: workers run it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from operator import itemgetter

from broadcast.audience.exclusions import Exclusions, Wish
from broadcast.cells.coordinates import read_degrees
from broadcast.cells.dates import is_date
from broadcast.cells.digits import SCIENTIFIC, NumberError
from broadcast.cells.formulas import find_formula, read_text_formula
from broadcast.cells.headers import Columns
from broadcast.cells.languages import read_language
from broadcast.cells.names import read_name
from broadcast.cells.numbers import Form, normalise
from broadcast.cells.yes_no import read_yes_no

COPIED = ("line", "external_id", "msisdn", "language", "latitude", "longitude", "participant", "groups")
"""The columns of a converted line, in PostgreSQL's text format of COPY."""

NULL = r"\N"
SEPARATOR = "|"
LONGEST_NAME = 200
LONGEST_SHOWN = 60
PLAIN_ID = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}|[0-9]{1,99}", re.ASCII)
"""The most usual ids: nothing that a spreadsheet has made of another, nothing to escape."""
PLAIN_PLACE = re.compile(
    r"-?[0-8]?[0-9]\.[0-9]{1,16}\t-?(?:1[0-7][0-9]|[1-9]?[0-9])\.[0-9]{1,16}",
    re.ASCII,
)
"""The most usual places, which PostgreSQL reads as they stand."""
DIGIT_RUN = re.compile(r"\d(?:[ ().-]*\d){5,}")
WISHES = {Wish.ERASED: "to be erased", Wish.DO_NOT_CONTACT: "for no messages"}
READMIT = "not loaded; `broadcast recipients readmit NUMBER` if the person wants messages again"
BOOLEAN = {True: "t", False: "f", None: None}


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


@dataclass(frozen=True, slots=True)
class Reading:
    """How the cells of a file are read; `region` and `form` are of numbers without a plus sign."""

    columns: Columns
    region: str | None
    form: Form | None = None
    exclusions: Exclusions = field(default_factory=Exclusions)


@dataclass(slots=True)
class Converted:
    """One block: rows read, rows good, these as lines for COPY, and the findings.

    `barred` are number and reason of those who are loaded and want no messages.
    """

    rows: int
    good: int = 0
    lines: bytes = b""
    findings: list[Finding] = field(default_factory=list)
    barred: list[tuple[str, str]] = field(default_factory=list)


def mask(value: str) -> str:
    """A value fit for a report: of every run of six digits or more only the last two are left."""
    return DIGIT_RUN.sub(lambda run: "•" * (len(run[0]) - 2) + run[0][-2:], value)[:LONGEST_SHOWN]


def convert(rows: Sequence[tuple[int, list[str]]], reading: Reading) -> Converted:
    """Convert rows, each with its line number, to lines with the columns `COPIED`; findings in the rows' order."""
    done = Converted(rows=len(rows))
    lines = []
    pick = _picker(reading.columns)
    for line, row in rows:
        converted = _convert(line, [cell.strip() for cell in row], reading, pick, done)
        if converted is not None:
            lines.append(converted)
    done.good = len(lines)
    done.lines = "".join(lines).encode()
    return done


def _picker(columns: Columns) -> Callable[[list[str]], tuple[str, ...]]:
    """Picks the cells of the fields, in their order.

    A field that the file does not have is the cell after the last.
    """
    places = [columns.external_id, columns.msisdn, columns.language, columns.groups]
    places += [columns.latitude, columns.longitude, columns.participant]
    return itemgetter(*(columns.width if place is None else place for place in places))


def _convert(
    line: int, row: list[str], reading: Reading, pick: Callable[[list[str]], tuple[str, ...]], done: Converted
) -> str | None:
    """One line for COPY, or None when the row cannot be loaded; either way its findings are added."""
    find = partial(_find, done, line)
    missing = reading.columns.width + 1 - len(row)
    if missing > 0:
        row += [""] * missing
    elif any(row[reading.columns.width :]):
        count = f"{len(row)} cells, the header {reading.columns.width}"
        find("row", "", f"has {count}: put cells with a separator in quotes", loaded=False)
        return None
    identity, number, spoken, joined, latitude, longitude, exercises = pick(row)
    if not number:
        find("msisdn", "", "is empty", loaded=False)
        return None
    try:
        msisdn = normalise(number, reading.region, reading.form)
    except NumberError as error:
        find("msisdn", number, str(error), loaded=False)
        return None
    wish = reading.exclusions.of(msisdn) if reading.exclusions.by_hash else None
    if wish is not None:
        reason = f"asked {WISHES[wish.wish]} on {wish.at:%Y-%m-%d}{f' ({wish.reason})' if wish.reason else ''}"
        left_out = wish.wish is Wish.ERASED
        find("msisdn", number, f"{reason}: {READMIT}" if left_out else f"{reason}: is suppressed", loaded=not left_out)
        if left_out:
            return None
        done.barred.append((msisdn, wish.reason or "asked for no messages"))
    if PLAIN_ID.fullmatch(identity):
        external_id = identity
    else:
        external_id = _name(identity)
        fault = _fault_of_id(external_id)
        if fault is not None:
            find("external_id", external_id, fault, loaded=False)
            return None

    language = _language(spoken)
    if language is None:
        reason = "is neither a language tag like de or de-AT nor a name like German: left empty"
        find("language", spoken, reason, loaded=True)
    groups = _groups(joined)
    if groups is None:
        value, reason = _explain_groups(joined)
        find("groups", value, reason, loaded=True, masked=False)
    place = _place(latitude, longitude)
    if place is None:
        reason = "are not both degrees, -90 to 90 and -180 to 180, with one decimal point or comma: left empty"
        find("latitude, longitude", f"{latitude}, {longitude}", reason, loaded=True)
    participant = _participant(exercises)
    if participant is None:
        find("participant", exercises, "is neither yes nor no: taken as no", loaded=True)
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


def _find(done: Converted, line: int, name: str, value: str, reason: str, *, loaded: bool, masked: bool = True) -> None:
    done.findings.append(Finding(line, name, mask(value) if masked else value[:LONGEST_SHOWN], loaded, reason))


def _name(text: str) -> str:
    """A name as it is read in a cell, text of a formula included."""
    return read_name(read_text_formula(text)) if text.startswith("=") else read_name(text)


def _fault_of_id(external_id: str) -> str | None:
    if len(external_id) > LONGEST_NAME:
        return f"has more than {LONGEST_NAME} characters"
    if SCIENTIFIC.fullmatch(external_id):
        return "is in scientific notation, which has lost digits: export the column as text"
    return find_formula(external_id)


@lru_cache(4096)
def _language(text: str) -> str | None:
    """The tag in lower case, NULL for none, None for what is no language."""
    return read_language(text) if text else NULL


@lru_cache(4096)
def _participant(text: str) -> str | None:
    return BOOLEAN[read_yes_no(text)] if text else NULL


@lru_cache(4096)
def _groups(text: str) -> str | None:
    """The names, each once, in order, joined by `SEPARATOR` and escaped for COPY; None if one cannot be a name."""
    names = {_group(name) for name in text.replace(";", SEPARATOR).split(SEPARATOR)}
    if None in names:
        return None
    return SEPARATOR.join(sorted(name for name in names if name)).replace("\\", "\\\\")


@lru_cache(4096)
def _group(text: str) -> str | None:
    """One name as it is read, empty for none; None if it cannot be a name."""
    name = _name(text)
    return None if fault_of_group(name) else name


def fault_of_group(name: str) -> str | None:
    """Why a text cannot be the name of a group; None if it can be one."""
    if len(name) > LONGEST_NAME:
        return f"has more than {LONGEST_NAME} characters"
    if is_date(name):
        return "is a date, which a spreadsheet has made of it: export the column as text"
    return find_formula(name)


def _explain_groups(text: str) -> tuple[str, str]:
    """The cell as a report shows it, and why its groups are none. A date is shown: it is no phone number."""
    names = [name for each in text.replace(";", SEPARATOR).split(SEPARATOR) if (name := _name(each))]
    faults = {name: fault for name in names if (fault := fault_of_group(name))}
    reason = next(iter(faults.values()))
    shown = SEPARATOR.join(name if is_date(name) else mask(name) for name in names)
    return shown, f"hold a name that {reason}{'; ' if ':' in reason else ': '}no group joined"


def _place(latitude: str, longitude: str) -> str | None:
    """Both coordinates for COPY, NULLs for none, None for what is no place on Earth."""
    both = f"{latitude}\t{longitude}"
    if PLAIN_PLACE.fullmatch(both):
        return both
    if not latitude and not longitude:
        return f"{NULL}\t{NULL}"
    north, east = read_degrees(latitude, 90), read_degrees(longitude, 180)
    return None if north is None or east is None else f"{north!r}\t{east!r}"
