"""Importing recipients from CSV: read, convert in worker processes, COPY, merge; one transaction for a file."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from broadcast.audience.advice import advise, last_line
from broadcast.audience.exclusions import hold_exclusions, read_exclusions
from broadcast.audience.merging import Merged, merge, stage
from broadcast.audience.report import Report
from broadcast.audience.rows import COPIED, Converted, Reading, convert
from broadcast.audience.source import Source
from broadcast.cells.encodings import check_encoding
from broadcast.cells.numbers import Form, check_region
from broadcast.clock import monotonic
from broadcast.database import Connection
from broadcast.errors import InputError

PARALLEL_BYTES = 8_000_000
"""Below it, about 100,000 rows, one process is done before others have started."""

BLOCKS_AHEAD = 2
"""Blocks in work per worker process: enough to keep it busy, few enough to bound memory."""

VACUUMED_ROWS = 10_000

Progress = Callable[[str, int, int], None]
"""Called with a step's name, how much of it is done, and of how much; 0 of 0 when that is not known."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did, or would do (`dry_run`). `rows` = inserted + updated + unchanged + repeated + refused.

    `moved` (of the updated) have another number; `joined` (of the repeated) were second people with a number;
    `repeated` are rows for a number that had one. `suppressed` and `without_group` are people of the file who are in
    the directory and get nothing; with the refused they are `unreached`. `groups` is the change of each group, in a dry
    run only.
    `report` is None when there was nothing to report.
    """

    dry_run: bool
    rows: int
    inserted: int
    updated: int
    moved: int
    unchanged: int
    repeated: int
    joined: int
    refused: int
    refused_by_reason: Mapping[str, int]
    suppressed: int
    without_group: int
    unreached: int
    findings: int
    groups_created: int
    new_groups: tuple[str, ...]
    memberships_added: int
    memberships_removed: int
    groups: Mapping[str, Mapping[str, int]]
    unknown_columns: tuple[str, ...]
    encoding: str
    notes: tuple[str, ...]
    advice: tuple[str, ...]
    last_line: str
    report: Path | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Options:
    """How a file is imported: see `docs/how-to/import-recipients.md`.

    `region` (ISO 3166) reads numbers without a country code, `form` says what all numbers without a plus sign are;
    `named` is field to title of a column, `skip_rows` lines before the header, `encoding` None if it is to be found.
    `number_key` is the key of the hashes by which people are known who asked to be erased or left alone.
    Raises InputError for a region or an encoding that does not exist.
    """

    region: str | None = None
    form: Form | None = None
    strict: bool = False
    replace_groups: bool = False
    encoding: str | None = None
    skip_rows: int = 0
    named: Mapping[str, str] = field(default_factory=dict)
    dry_run: bool = False
    number_key: bytes | None = None

    def __post_init__(self) -> None:
        check_region(self.region)
        if self.encoding is not None:
            check_encoding(self.encoding)


class _DryRunError(Exception):
    """Ends the transaction of a dry run."""


class StrictError(InputError):
    """A strict import found something wrong, so nothing was loaded: how much, and where the report is."""


def _ignore(step: str, done: int, total: int) -> None:
    pass


async def import_recipients(
    connection: Connection,
    path: Path,
    report_path: Path,
    options: Options | None = None,
    *,
    progress: Progress = _ignore,
) -> ImportResult:
    """Load a CSV of recipients into the directory, all of its good rows or, after an error, none.

    A recipient is known by external id, else by number; a second import updates, and empty cells leave what stands.
    What is wrong goes to `report_path`. Raises InputError for a file that cannot be read, or has no column of groups
    when `replace_groups` asks for them, and StrictError.
    """
    options = options or Options()
    started = monotonic()
    region = check_region(options.region)
    source = Source(path, encoding=options.encoding, skip_rows=options.skip_rows, named=options.named)
    with source, Report(report_path, path) as report:
        if options.replace_groups and source.columns.groups is None:
            raise InputError(
                f"{source.name} has no column of groups, so replace-groups would end every membership: leave it out, or"
                " name the column with --map groups=COLUMN"
            )
        merged = Merged()
        try:
            async with connection.transaction():
                await stage(connection)
                await hold_exclusions(connection)
                exclusions = await read_exclusions(connection, options.number_key)
                reading = Reading(source.columns, region, options.form, exclusions)
                loading = _Loading(source, reading, report, progress)
                await loading.load(connection)
                await merge(
                    connection,
                    merged,
                    barred=loading.barred,
                    replace_groups=options.replace_groups,
                    by_group=options.dry_run,
                    step=lambda name: progress(name, 0, 0),
                )
                report.add(merged.findings)
                if options.strict and report.findings:
                    raise StrictError(
                        f"{report.findings} findings in {source.name}, see {report.path}; strict: nothing is loaded"
                    )
                if options.dry_run:
                    raise _DryRunError
                progress("committing", 0, 0)
        except _DryRunError:
            pass
        else:
            if merged.inserted + merged.updated + merged.memberships_added > VACUUMED_ROWS:
                progress("vacuuming", 0, 0)
                await connection.execute("VACUUM recipients, group_members")  # so that audiences are read from indexes
    return _result(options, source, loading.rows, report, merged, seconds=monotonic() - started)


def _result(
    options: Options, source: Source, rows: int, report: Report, merged: Merged, *, seconds: float
) -> ImportResult:
    advice = advise(report.reasons, without_group=merged.without_group, has_groups=source.columns.groups is not None)
    return ImportResult(
        dry_run=options.dry_run,
        rows=rows,
        inserted=merged.inserted,
        updated=merged.updated,
        moved=merged.moved,
        unchanged=merged.unchanged,
        repeated=rows - report.refused - merged.inserted - merged.updated - merged.unchanged,
        joined=merged.joined,
        refused=report.refused,
        refused_by_reason=dict(report.reasons.most_common()),
        suppressed=merged.suppressed,
        without_group=merged.without_group,
        unreached=report.refused + merged.suppressed + merged.without_group,
        findings=report.findings,
        groups_created=len(merged.new_groups),
        new_groups=tuple(merged.new_groups),
        memberships_added=merged.memberships_added,
        memberships_removed=merged.memberships_removed,
        groups=merged.by_group,
        unknown_columns=source.columns.unknown,
        encoding=source.encoding.name,
        notes=tuple(
            filter(None, (f"{source.name} {source.encoding.note}" if source.encoding.note else "", *merged.notes))
        ),
        advice=advice,
        last_line=last_line(
            rows=rows,
            refused=report.refused,
            suppressed=merged.suppressed,
            without_group=merged.without_group,
            reasons=report.reasons,
            advice=advice,
        ),
        report=report.path if report.findings else None,
        seconds=seconds,
    )


class _Loading:
    """One file on its way into the table `incoming`."""

    def __init__(self, source: Source, reading: Reading, report: Report, progress: Progress) -> None:
        self.rows = 0
        self.barred: list[tuple[str, str]] = []
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
        self.barred += block.barred
        self._report.add(block.findings)
        self._progress("reading", self._source.read_bytes(), self._source.size)
        return block.lines
