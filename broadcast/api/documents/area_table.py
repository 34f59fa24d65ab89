"""The table of areas on disk, as the settings name it; read again when it has changed."""

from http import HTTPStatus
from pathlib import Path

import structlog

from broadcast.api.problems import Problem, unavailable
from broadcast.cap import AreaTable, read_area_table
from broadcast.errors import InputError
from broadcast.settings import Settings

log = structlog.get_logger(__name__)

BYTES_MAX = 16 << 20


class AreaTables:
    """The table of `BROADCAST_AREAS_FILE`, kept until the file changes."""

    def __init__(self, settings: Settings) -> None:
        self._path: Path | None = settings.areas_file
        self._table: AreaTable | None = None
        self._read_at: tuple[int, int] = (0, 0)

    def require(self) -> AreaTable:
        """The table as the file has it now, or had it when it could last be read.

        A 422 problem without a file, 503 if it was never read.
        """
        if self._path is None:
            message = "no table of areas is set; set BROADCAST_AREAS_FILE, or name groups"
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY, "no-areas", message, findings=[("by_area", "areas", message)]
            )
        try:
            found = self._path.stat()
            state = (found.st_mtime_ns, found.st_size)
            if self._table is None or state != self._read_at:
                if found.st_size > BYTES_MAX:
                    raise InputError(f"has {found.st_size} bytes, more than {BYTES_MAX}")
                self._table, self._read_at = read_area_table(self._path.read_text(encoding="utf-8")), state
        except (OSError, UnicodeDecodeError, InputError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            log.error("areas_not_read", path=str(self._path), error=reason)  # noqa: TRY400
            if self._table is not None:
                return self._table
            raise unavailable("areas", f"BROADCAST_AREAS_FILE = {self._path}: {reason}") from error
        return self._table
