"""Importing recipients from CSV: read, convert in worker processes, COPY, merge; one transaction for a file."""

import asyncio
import csv
import os
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import TextIO

from broadcast.audience.merging import merge, stage
from broadcast.audience.rows import COPIED, Converted, Finding, Reading, convert
from broadcast.audience.source import Source
from broadcast.cells.numbers import Form, check_region
from broadcast.clock import monotonic
from broadcast.database import Connection
from broadcast.errors import InputError
from broadcast.text.printable import csv_cell

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
            csv.writer(self._file).writerow(map(csv_cell, row))
            self.findings += 1
            self.refused += not finding.loaded


PARALLEL_BYTES = 8_000_000
"""Below it, about 100,000 rows, one process is done before others have started."""

BLOCKS_AHEAD = 2
"""Blocks in work per worker process: enough to keep it busy, few enough to bound memory."""

VACUUMED_ROWS = 10_000

Progress = Callable[[str, int, int], None]
"""Called with a step's name, how much of it is done, and of how much; 0 of 0 when that is not known."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did. `rows` = inserted + updated + unchanged + repeated + refused.

    `joined` (of the repeated) were second people with a number; `repeated` are rows for a number that had one.
    `report` is None when there was nothing to report.
    """

    rows: int
    inserted: int
    updated: int
    unchanged: int
    repeated: int
    joined: int
    refused: int
    findings: int
    groups_created: int
    memberships_added: int
    memberships_removed: int
    unknown_columns: tuple[str, ...]
    report: Path | None
    seconds: float


class StrictError(InputError):
    """A strict import found something wrong, so nothing was loaded: how much, and where the report is."""


def _ignore(step: str, done: int, total: int) -> None:
    pass


async def import_recipients(
    connection: Connection,
    path: Path,
    report_path: Path,
    *,
    region: str | None = None,
    form: Form | None = None,
    strict: bool = False,
    replace_groups: bool = False,
    encoding: str = "utf-8-sig",
    progress: Progress = _ignore,
) -> ImportResult:
    """Load a CSV of recipients into the directory, all of its good rows or, after an error, none.

    Columns: see `broadcast.audience.rows`. A recipient is known by external id, else by number; a second
    import updates, and empty cells leave what stands. What is wrong goes to `report_path`. `region` (ISO 3166)
    reads numbers without a country code, `form` says what all numbers without a plus sign are. Raises InputError for a
    file that cannot be read, or has no column of groups when `replace_groups` asks for them; StrictError.
    """
    started = monotonic()
    region = check_region(region)
    with Report(report_path) as report, Source(path, encoding=encoding) as source:
        if replace_groups and source.columns.groups is None:
            raise InputError(
                f"{path} has no column of groups, so replace-groups would end every membership: leave it out"
            )
        async with connection.transaction():
            await stage(connection)
            loading = _Loading(source, Reading(source.columns, region, form), report, progress)
            await loading.load(connection)
            merged = await merge(connection, replace_groups=replace_groups, step=lambda name: progress(name, 0, 0))
            report.add(merged.findings)
            if strict and report.findings:
                raise StrictError(f"{report.findings} findings in {path}, see {report.path}; strict: nothing is loaded")
            progress("committing", 0, 0)
        if merged.inserted + merged.updated + merged.memberships_added > VACUUMED_ROWS:
            progress("vacuuming", 0, 0)
            await connection.execute("VACUUM recipients, group_members")  # so that audiences are read from indexes
    landed = merged.inserted + merged.updated + merged.unchanged
    return ImportResult(
        rows=loading.rows,
        inserted=merged.inserted,
        updated=merged.updated,
        unchanged=merged.unchanged,
        repeated=loading.rows - report.refused - landed,
        joined=merged.joined,
        refused=report.refused,
        findings=report.findings,
        groups_created=merged.groups_created,
        memberships_added=merged.memberships_added,
        memberships_removed=merged.memberships_removed,
        unknown_columns=source.columns.unknown,
        report=report.path if report.findings else None,
        seconds=monotonic() - started,
    )


class _Loading:
    """One file on its way into the table `incoming`."""

    def __init__(self, source: Source, reading: Reading, report: Report, progress: Progress) -> None:
        self.rows = 0
        self._source = source
        self._reading = reading
        self._report = report
        self._progress = progress

    async def load(self, connection: Connection) -> None:
        """Convert and COPY every block, in worker processes if the file is large."""
        if self._source.size < PARALLEL_BYTES:
            await self._copy(connection, None, 1)
            return
        workers = os.cpu_count() or 1
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            await self._copy(connection, pool, workers * BLOCKS_AHEAD)

    async def _copy(self, connection: Connection, pool: Executor | None, ahead: int) -> None:
        lines = self._inline() if pool is None else self._parallel(pool, ahead)
        await connection.copy_to_table("incoming", source=lines, columns=COPIED, format="text")

    async def _inline(self) -> AsyncIterator[bytes]:
        for block in self._source.blocks():
            yield self._take(await asyncio.to_thread(convert, block, self._reading))

    async def _parallel(self, pool: Executor, ahead: int) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        waiting: list[asyncio.Future[Converted]] = []
        try:
            for block in self._source.blocks():
                waiting.append(loop.run_in_executor(pool, convert, block, self._reading))
                if len(waiting) == ahead:
                    yield self._take(await waiting.pop(0))
            while waiting:
                yield self._take(await waiting.pop(0))
        finally:
            for future in waiting:
                future.cancel()

    def _take(self, block: Converted) -> bytes:
        self.rows += block.rows
        self._report.add(block.findings)
        self._progress("reading", self._source.read_bytes(), self._source.size)
        return block.lines
