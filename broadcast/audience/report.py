"""The report of an import: what is wrong with which line, numbers masked."""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from heapq import merge
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from broadcast.audience.rows import Finding
from broadcast.cells.spellings import WRITTEN
from broadcast.errors import InputError
from broadcast.text.printable import csv_cell

HEADER = ("line", "field", "value", "loaded", "reason")

OF_THE_ROW = (
    (re.compile(r"has [0-9]+ cells, the header [0-9]+"), "has more cells than the header"),
    (re.compile(r"recipient [0-9]+"), "another recipient"),
    (re.compile(r"line [0-9]+"), "another line"),
)
"""What numbers of the row, not of the rule, are in the name of a kind."""


class Report:
    """A report file that exists only if there is something to report. Numbers in it are masked.

    An older report of that name is removed. Raises InputError, before any work, where it would destroy another file or
    cannot be written.
    """

    def __init__(self, path: Path, source: Path) -> None:
        self.path = path
        self._require_writable(source)
        self.findings = 0
        self.refused = 0
        self.reasons: Counter[str] = Counter()
        """Refused rows by reason."""
        self._file: TextIO | None = None
        self._last_line = 0
        self._late: list[list[str]] = []

    def __enter__(self) -> "Report":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._late:
            try:
                self._sort_in()
            except OSError as fault:
                raise self._not_written(fault) from None

    def add(self, findings: Iterable[Finding]) -> None:
        """Write findings, and count them; `refused` are those that left a row out.

        One of an earlier line than the last comes to its place when the report is closed.
        """
        try:
            for finding in findings:
                if self._file is None:
                    self._file = self.path.open("w", encoding="utf-8", newline="")
                    csv.writer(self._file).writerow(HEADER)
                loaded = "yes" if finding.loaded else "no"
                cells = (finding.line, finding.field, finding.value, loaded, finding.reason)
                row = [str(csv_cell(cell)) for cell in cells]
                if finding.line < self._last_line:
                    self._late.append(row)
                else:
                    self._last_line = finding.line
                    csv.writer(self._file).writerow(row)
                self.findings += 1
                if not finding.loaded:
                    self.refused += 1
                    self.reasons[kind_of(finding)] += 1
        except OSError as error:
            raise self._not_written(error) from None

    def _sort_in(self) -> None:
        draft = self.path.with_name(f"{self.path.name}.part")
        with (
            self.path.open(encoding="utf-8", newline="") as written,
            draft.open("w", encoding="utf-8", newline="") as file,
        ):
            rows = csv.reader(written)
            late = sorted(self._late, key=_line_of)
            writer = csv.writer(file)
            writer.writerow(next(rows))
            writer.writerows(merge(rows, late, key=_line_of))
        draft.replace(self.path)

    def _require_writable(self, source: Path) -> None:
        path = self.path
        try:
            if path.exists() and source.exists() and path.samefile(source):
                raise InputError(f"report {path} is the file to import: name another file (--report)")
            if path.is_dir():
                raise InputError(f"report {path} is a directory: name a file (--report)")
            if path.exists() and not path.is_file():
                raise InputError(f"report {path} is no usual file: name another one (--report)")
            known = path.exists()
            if known and not _is_report(path):
                raise InputError(f"report {path} exists and is no report: name another file (--report)")
            path.open("a").close()
            path.unlink()
        except OSError as error:
            raise self._not_written(error) from None

    def _not_written(self, error: OSError) -> InputError:
        return InputError(f"report {self.path} cannot be written ({error.strerror}): name another file (--report)")


def _line_of(row: Any) -> int:
    return int(row[0])


def kind_of(finding: Finding) -> str:
    """What findings of one kind have in common: the field, and the reason without numbers and advice."""
    reason, _, hint = finding.reason.partition(":")
    if reason.startswith("can be read as +"):
        reason = hint.strip() if WRITTEN in hint else "can be read as several numbers"
    if reason.startswith("asked "):
        reason = reason.partition(" on ")[0]
    for pattern, words in OF_THE_ROW:
        reason = pattern.sub(words, reason)
    return f"{finding.field} {reason}"


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(100)
    return not first or first.strip() == ",".join(HEADER).encode()
