"""Reading a CSV file in blocks of rows, each with the line it starts at."""

import csv
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType

from broadcast.cells.headers import Columns, read_header
from broadcast.errors import InputError

BLOCK_ROWS = 10_000
"""Large enough that handing a block to a worker process costs nothing, small enough to show progress."""

SEPARATORS = (",", ";", "\t")
SNIFFED_BYTES = 65_536


class Source:
    """An open CSV file: its columns, and its rows in blocks.

    The separator is the one of comma, semicolon and tab that the header holds most of. A file that is not UTF-8
    (or `encoding`), or whose quotes do not match, is refused with the line: such a file hides rows.
    """

    def __init__(self, path: Path, *, encoding: str = "utf-8-sig") -> None:
        self.path = path
        self.size = path.stat().st_size
        self._encoding = encoding
        self._raw = path.open("rb")
        try:
            self._text = TextIOWrapper(self._raw, encoding=encoding, newline="")
            self._reader = csv.reader(self._text, delimiter=self._separator(), strict=True)
            self.columns = self._header()
        except BaseException:
            self._raw.close()
            raise

    def __enter__(self) -> "Source":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._text.close()

    def read_bytes(self) -> int:
        """How far the file has been read."""
        return self._raw.tell()

    def blocks(self, rows: int = BLOCK_ROWS) -> Iterator[list[tuple[int, list[str]]]]:
        """The rows after the header, empty ones left out; raises InputError where the file cannot be read."""
        block: list[tuple[int, list[str]]] = []
        for line, row in self._rows():
            if any(row):
                block.append((line, row))
            if len(block) == rows:
                yield block
                block = []
        if block:
            yield block

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        reader = self._reader
        line = reader.line_num + 1
        try:
            for row in reader:
                yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            raise InputError(f"{self.path} line {line}: {error}; check the quotes from there on") from None
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.path} after line {line - 1}: byte 0x{error.object[error.start]:02x} is not {error.encoding}; "
                "save the file as UTF-8, or name its encoding (--encoding)"
            ) from None

    def _separator(self) -> str:
        header = self._raw.read(SNIFFED_BYTES).split(b"\n", 1)[0].decode(self._encoding, errors="replace")
        self._raw.seek(0)
        return max(SEPARATORS, key=header.count)

    def _header(self) -> Columns:
        for _, row in self._rows():
            return read_header([title.strip() for title in row])
        raise InputError(f"{self.path} is empty: its first line must name the columns")
