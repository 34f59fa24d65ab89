"""Delimited text: its separator, the line of its header, and where its quotes go wrong. Pure."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from broadcast.cells.headers import ROWS_BEFORE_HEADER, field_of, names_number
from broadcast.errors import InputError

SEPARATORS = (",", ";", "\t", "|")
DECLARED = re.compile(r"sep=(.)(?:\r\n|\r|\n|\Z)")
"""The first line by which spreadsheets say what separates their cells."""
LEAST_DIGITS = 7
"""Of a cell that is taken for a phone number, so that a file without a header is told from one with another."""
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)?")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is laid out: what separates its cells, and how many lines stand before its header."""

    separator: str
    lines_before: int


def find_layout(head: str, *, skipped: int, named: Mapping[str, str]) -> Layout:
    """The layout of a file that begins with `head`, its first `skipped` lines left out.

    The separator is the one by which the first row names the most fields, else the most cells. Raises InputError if a
    later row is the header, or the first row holds a phone number.
    """
    declared = DECLARED.match(head) if not skipped else None
    if declared:
        return Layout(declared[1], 1)
    candidates = {separator: _rows(head, separator, skipped) for separator in SEPARATORS}
    firsts = {separator: rows[0][1] if rows else [] for separator, rows in candidates.items()}
    best = max(SEPARATORS, key=lambda separator: _score(firsts[separator], named))
    if firsts[best] and not names_number(firsts[best], named) and not named:
        _look_further(candidates)
        if any(sum(map(str.isdigit, cell)) >= LEAST_DIGITS for cell in firsts[best]):
            raise InputError(
                f"its first line holds a phone number and no names of columns: put a line like phone{best}groups first"
            )
    return Layout(best, skipped)


def find_quote_fault(lines: Iterable[str], separator: str, first: int) -> str | None:
    """What is wrong with the quotes of the lines from `first` on: line, column and reason; None if nothing is."""
    quoted = False
    opened = (first, 1)
    for number, line in enumerate(lines, first):
        at = 0
        start = not quoted
        while at < len(line):
            character = line[at]
            if quoted:
                if character == '"':
                    if line[at + 1 : at + 2] == '"':
                        at += 1
                    else:
                        quoted = False
                        after = line[at + 1 : at + 2]
                        if after not in {separator, "\r", "\n", ""}:
                            return f"line {number}, column {at + 2}: {after!r} stands after a closing quote"
            elif start and character == '"':
                quoted, opened = True, (number, at + 1)
            start = not quoted and character == separator
            at += 1
    return f"line {opened[0]}, column {opened[1]}: a quote is opened and never closed" if quoted else None


def _rows(head: str, separator: str, skipped: int) -> list[tuple[int, list[str]]]:
    """The first rows that are not empty, each with the count of lines before it."""
    reader = csv.reader(LINE.findall(head)[skipped:], delimiter=separator)
    rows: list[tuple[int, list[str]]] = []
    before = skipped
    try:
        for row in reader:
            if any(row):
                rows.append((before, [cell.strip() for cell in row]))
            if len(rows) == ROWS_BEFORE_HEADER:
                break
            before = skipped + reader.line_num
    except csv.Error:
        pass
    return rows


def _score(row: Sequence[str], named: Mapping[str, str]) -> tuple[bool, int, int]:
    return names_number(row, named), len({field_of(title) for title in row} - {None}), len(row)


def _look_further(candidates: Mapping[str, list[tuple[int, list[str]]]]) -> None:
    """Raise InputError if a row after the first names the phone number."""
    for rows in candidates.values():
        for before, row in rows[1:]:
            if names_number(row) and len({field_of(title) for title in row} - {None}) > 1:
                raise InputError(
                    f"its first line names no phone number, but line {before + 1} does ({', '.join(row)}): try"
                    f" --skip-rows {before}"
                )
