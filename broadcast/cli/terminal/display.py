"""What long waits look like in a terminal: steps with their times, downloads and counts as bars; on stderr."""

import errno
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console as RichConsole
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table as RichTable
from rich.text import Text

from broadcast.clock import utc_now
from broadcast.embedded.steps import Progress
from broadcast.text.printable import printable

PIPED_COLUMNS = 240
"""Where there is no terminal whose width counts, nothing may be cut or folded: somebody greps it."""


class Console(RichConsole):
    """A console whose output may lose its reader: that is an error, as for every other output."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class Table(RichTable):
    """A table whose strings are shown as they are: nothing in them is markup or moves the cursor."""

    def add_row(self, *cells: object, **options: Any) -> None:
        super().add_row(*[Text(printable(each)) if isinstance(each, str) else each for each in cells], **options)  # type: ignore[arg-type]


def shown(text: object) -> str:
    """What others wrote, for a line with markup: it has none itself, and moves no cursor."""
    return escape(printable(str(text)))


def write_time(at: datetime | str, precision: str = "seconds") -> str:
    """An instant for a table, in UTC, with its zone; a text is ISO 8601."""
    instant = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat(' ', precision)} UTC"


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal, or as wide as it wants to be."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPED_COLUMNS)
    console.print(table)


FINAL_COLOURS = {
    "delivered": "green",
    "submitted": "cyan",
    "queued": "yellow",
    "suppressed": "dim",
}


class Display:
    """Shows steps as they start, advance and end. Quiet: shows nothing. Plain lines where there is no terminal."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self._steps = Bars(SpinnerColumn(), TextColumn("{task.description}"), console=self.console)
        self._bytes = Bars(TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), console=self.console)
        self._counts = Bars(TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), console=self.console)
        self._states = Text()
        self._live = Live(
            Group(self._steps, self._bytes, self._counts, self._states),
            console=self.console,
            transient=True,
            refresh_per_second=8,
        )
        self._tasks: dict[str, int] = {}

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the live part; what was printed stays."""
        if self._live.is_started:
            self._live.stop()

    def report(self, news: Progress) -> None:
        """Take one step's news; a `broadcast.embedded.steps.Report`."""
        if news.phase == "started":
            self._tasks[news.step] = self._steps.add_task(news.step, total=None)
        elif news.phase == "advanced":
            self._advance(news)
        elif news.step == "restart":
            self.console.print(f"[yellow]![/yellow] {utc_now():%H:%M:%S} UTC {shown(news.message)}")
        else:
            self._end(news)

    def watch(self, audience: int, states: Mapping[str, int]) -> None:
        """Show how many of an audience are in which state."""
        self._states.plain = ""
        self._states.append(f"  {audience:,} recipients  ")
        for state, count in sorted(states.items(), key=lambda item: -item[1]):
            if count:
                self._states.append(f"{state} {count:,}  ", style=FINAL_COLOURS.get(state, "red"))

    def _advance(self, news: Progress) -> None:
        bars = self._bytes if news.unit == "bytes" else self._counts
        name = f"{news.step}: {news.message}" if news.message else news.step
        task = next((task.id for task in bars.tasks if task.description == name), None)
        if task is None:
            for old in bars.task_ids:
                bars.remove_task(old)
            task = bars.add_task(name, total=None)
        bars.update(task, completed=news.done, total=news.total or None)

    def _end(self, news: Progress) -> None:
        for bars in (self._bytes, self._counts):
            for task in bars.task_ids:
                bars.remove_task(task)
        task_id = self._tasks.pop(news.step, None)
        if task_id is not None:
            self._steps.remove_task(task_id)  # type: ignore[arg-type]
        mark = "[green]✓[/green]" if news.phase == "ended" else "[red]✗[/red]"
        self.console.print(f"{mark} {news.step:<28}{news.seconds:7.2f} s {shown(news.message)}")


def table_of(title: str, rows: list[tuple[str, str]]) -> Table:
    """Two columns, the second to the right."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows:
        table.add_row(name, value)
    return table
