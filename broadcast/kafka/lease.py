"""The lease: how long a sender may write after its last successful beat, and what ends it after that."""

import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Final, Self

import structlog

from broadcast.clock import monotonic
from broadcast.errors import LEASE_EXIT_CODE

log = structlog.get_logger(__name__)

WATCH_SECONDS: Final = 0.1

EndProcess = Callable[[int, str], None]
"""Ends the process at once, with an exit code and for a reason."""


def end_process(code: int, reason: str) -> None:
    """End this process at once; of its buffers only those of the logs are flushed.

    What the others hold may belong to another process already.
    """
    log.critical("process_ended", exit_code=code, reason=reason)
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stderr.flush()
    os._exit(code)


class Lease:
    """Held while the last successful beat began to commit less than `seconds` ago, on the monotonic clock.

    Half a session timeout: nobody else is given the partitions before the whole of it has passed.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = monotonic) -> None:
        self.seconds: Final = seconds
        self._clock: Final = clock
        self._renewed_at: float | None = None

    def renew(self, at: float) -> None:
        """A commit that was begun at `at` has succeeded; at a takeover, positions asked for at `at` were read."""
        self._renewed_at = at

    def release(self) -> None:
        """No partition is held: there is nothing to write on, and nothing that can expire."""
        self._renewed_at = None

    @property
    def held(self) -> bool:
        """Whether to write or commit now."""
        return self._renewed_at is not None and self._clock() - self._renewed_at < self.seconds

    @property
    def expired(self) -> bool:
        """Whether it was held and ran out: the process must end."""
        return self._renewed_at is not None and self._clock() - self._renewed_at >= self.seconds


class Watchdog:
    """A thread that ends the process once the lease has expired, also while the event loop hangs.

    It watches inside a `with` block.
    """

    def __init__(self, lease: Lease, end_process: EndProcess) -> None:
        self._lease: Final = lease
        self._end_process: Final = end_process
        self._stopped: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._watch, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(WATCH_SECONDS):
            if self._lease.expired:
                self._end_process(LEASE_EXIT_CODE, f"the last beat succeeded more than {self._lease.seconds} s ago")
                return
