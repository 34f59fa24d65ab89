"""The process in which large documents are read: started when it is needed, killed when it does not answer.

A thread would not do: it keeps the interpreter from every other request while it works.
"""

import asyncio
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import structlog

from broadcast.alerts.documents.calls import LENGTH_BYTES, Answer, frame
from broadcast.api.problems import unavailable
from broadcast.errors import InputError

READ_SECONDS = 30.0
"""For one document, with the start of the process: a hundred times what the worst legal one takes."""

COMMAND = "from broadcast.alerts.documents.calls import main; main()"

CLOSE_SECONDS = 2.0
"""For a process that was killed to be gone."""

RETRY_AFTER_SECONDS = 5

T = TypeVar("T")

log = structlog.get_logger(__name__)


class ReadingProcess:
    """One process, one call at a time."""

    def __init__(self) -> None:
        self._process: Process | None = None

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a function of a module returns there.

        Raises InputError as the function does; a 503 problem if the process ended, or did not answer in time.
        """
        try:
            async with asyncio.timeout(READ_SECONDS):
                kind, value = await self._ask((function, *arguments))
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            reason = f"within {READ_SECONDS:g} s" if isinstance(error, TimeoutError) else "within its memory"
            code = self._process.returncode if self._process is not None else None
            log.error("document_not_read", function=function.__name__, error=repr(error), exit_code=code)  # noqa: TRY400
            await self.close()
            raise unavailable(
                "reading",
                f"the document was not read {reason}; send it again in {RETRY_AFTER_SECONDS} s, or make it smaller:"
                " fewer points and parameters, no resources",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            ) from None
        except BaseException:
            # Half a call, or half an answer, would be taken for part of the next.
            await self.close()
            raise
        if kind == Answer.REFUSED:
            raise InputError(*value)
        if kind == Answer.FAULT:
            raise RuntimeError(f"{function.__name__} failed in the process that reads documents:\n{value}")
        answer: T = value
        return answer

    async def close(self) -> None:
        """Kill the process, if there is one; the next call starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), CLOSE_SECONDS)

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return None if self._process is None else self._process.pid

    async def _ask(self, call: tuple[Any, ...]) -> tuple[Answer, Any]:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-c", COMMAND, stdin=PIPE, stdout=PIPE
            )
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 (both are pipes)
        process.stdin.write(frame(pickle.dumps(call)))
        await process.stdin.drain()
        size = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
        answer: tuple[Answer, Any] = pickle.loads(await process.stdout.readexactly(size))  # noqa: S301 (of our own process)
        return answer
