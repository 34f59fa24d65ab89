"""The report of an import: a CSV of what was wrong, by line of the file.

It is written while faults are found.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TextIO

from broadcast.audience.rows import Finding

HEADER = ("line", "field", "value", "loaded", "reason")


class Report:
    """A report file that exists only if there is something to report. Numbers in it are masked.

    A file of that name that is there already is removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        self.findings = 0
        self.refused = 0
        self._file: TextIO | None = None

    def __enter__(self) -> "Report":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, findings: Iterable[Finding]) -> None:
        """Write findings, and count them; `refused` are those that left a row out."""
        for finding in findings:
            if self._file is None:
                self._file = self.path.open("w", encoding="utf-8", newline="")
                csv.writer(self._file).writerow(HEADER)
            loaded = "yes" if finding.loaded else "no"
            row = (finding.line, finding.field, finding.value, loaded, finding.reason)
            csv.writer(self._file).writerow(row)
            self.findings += 1
            self.refused += not finding.loaded
