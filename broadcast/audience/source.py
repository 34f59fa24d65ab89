"""Reading a CSV file in blocks of rows, each with the line it starts at."""

import csv
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import BinaryIO, TypeVar, cast

from broadcast.cells.delimited import find_layout, find_quote_fault
from broadcast.cells.encodings import Encoding, check_encoding, find_encoding, locate_error
from broadcast.cells.headers import Columns, read_header
from broadcast.errors import InputError

T = TypeVar("T")

BLOCK_ROWS = 10_000
"""Large enough that handing a block to a worker process costs nothing, small enough to show progress."""

STANDARD_INPUT = Path("-")
HEAD_BYTES = 65_536
BLOCK_BYTES = 1 << 20


class Source:
    """An open CSV file: its columns, and its rows in blocks.

    Encoding, separator and line ends are found. The path `-` is standard input; what cannot be read twice, such as a
    pipe, is copied to a temporary file. Raises InputError for a file that cannot be read: such a file hides rows.
    """

    def __init__(
        self, path: Path, *, encoding: str | None = None, skip_rows: int = 0, named: Mapping[str, str] | None = None
    ) -> None:
        self.path = path
        self.name = "standard input" if path == STANDARD_INPUT else str(path)
        self._named = named or {}
        self._raw = self._open()
        try:
            self.size = self._raw.seek(0, 2)
            self.encoding = self._find_encoding(encoding)
            layout = self._in_file(lambda: find_layout(self._head(), skipped=skip_rows, named=self._named))
            self.separator = layout.separator
            self._lines_before = layout.lines_before
            self._raw.seek(0)
            self._text = TextIOWrapper(self._raw, encoding=self.encoding.name, newline="")
            for _ in islice(self._text, self._lines_before):
                pass
            self._reader = csv.reader(self._text, delimiter=self.separator, strict=True)
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

    def _open(self) -> BinaryIO:
        try:
            raw = sys.stdin.buffer if self.path == STANDARD_INPUT else self.path.open("rb")
            if raw.seekable():
                return cast(BinaryIO, raw)
            with raw:
                copy = TemporaryFile()  # noqa: SIM115 (it is closed with the source)
                shutil.copyfileobj(raw, copy)
                return cast(BinaryIO, copy)
        except OSError as error:
            raise InputError(f"{self.name} cannot be read: {error.strerror}") from None

    def _octets(self) -> Iterator[bytes]:
        self._raw.seek(0)
        try:
            while block := self._raw.read(BLOCK_BYTES):
                yield block
        except OSError as error:
            raise InputError(f"{self.name} cannot be read: {error.strerror}") from None

    def _find_encoding(self, encoding: str | None) -> Encoding:
        if encoding is None:
            try:
                return find_encoding(self._octets())
            except InputError as error:
                raise InputError(f"{self.name} {error}") from None
        check_encoding(encoding)
        return Encoding(encoding)

    def _head(self) -> str:
        self._raw.seek(0)
        return self._raw.read(HEAD_BYTES).decode(self.encoding.name, errors="replace").removeprefix("\ufeff")

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        reader, before = self._reader, self._lines_before + 1
        line = reader.line_num + before
        try:
            for row in reader:
                yield line, row
                line = reader.line_num + before
        except csv.Error as error:
            raise InputError(f"{self.name} {self._explain(line, error)}") from None
        except UnicodeError:
            place = locate_error(b"".join(self._octets()), self.encoding.name)
            raise InputError(
                f"{self.name} {place}; save the file as UTF-8, or name its encoding (--encoding)"
            ) from None
        except OSError as error:
            raise InputError(f"{self.name} cannot be read: {error.strerror}") from None

    def _explain(self, line: int, error: csv.Error) -> str:
        """Where the quotes of a row go wrong that begins in `line`."""
        text = b"".join(self._octets()).decode(self.encoding.name, errors="replace")
        lines = islice(re.finditer(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", text), line - 1, None)
        fault = find_quote_fault((found[0] for found in lines), self.separator, line)
        return f"{fault}; a quote within a cell is written twice" if fault else f"line {line}: {error}"

    def _header(self) -> Columns:
        titles = next(([title.strip() for title in row] for _, row in self._rows() if any(row)), None)
        if titles is not None:
            return self._in_file(lambda: read_header(titles, self._named))
        raise InputError(f"{self.name} is empty: its first line must name the columns")

    def _in_file(self, work: Callable[[], T]) -> T:
        """Do `work`; what it refuses is refused of this file."""
        try:
            return work()
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None
