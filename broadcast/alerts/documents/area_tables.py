"""The table of areas on disk, as the process that reads documents keeps it; read again when it has changed."""

from pathlib import Path
from typing import Final

from broadcast.cap import AreaTable, read_area_table
from broadcast.errors import InputError

BYTES_MAX: Final = 4 << 20
"""250,000 lines, which take a second or two to read."""

FILE_RULE: Final = "areas file"
"""The rule of findings about the file, which is the operator's, and not about the alert."""


class AreaTables:
    """The table of one file, kept until the file changes."""

    def __init__(self) -> None:
        self._table: AreaTable | None = None
        self._read_of: tuple[Path, int, int] | None = None

    def require(self, path: Path) -> tuple[AreaTable, str]:
        """The table of the file, or the one that could last be read; in words, why that.

        InputError with the rule `FILE_RULE` if this process could never read it.
        """
        try:
            found = path.stat()
            state = (path, found.st_mtime_ns, found.st_size)
            if self._table is None or state != self._read_of:
                if found.st_size > BYTES_MAX:
                    raise InputError(f"has {found.st_size} bytes, more than {BYTES_MAX}")
                self._table, self._read_of = read_area_table(path.read_text(encoding="utf-8")), state
        except (OSError, UnicodeDecodeError, InputError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            message = f"BROADCAST_AREAS_FILE = {path}: {reason}"
            if self._table is None or self._read_of is None or self._read_of[0] != path:
                raise InputError(message, (("by_area", FILE_RULE, message),)) from error
            return self._table, f"{message}; the table that was read last is used"
        return self._table, ""
