"""The process that reads large documents, one call after the other; it ends with the process that started it.

`main` takes calls on standard input, and answers on standard output: eight bytes of length, then a pickle. A call is
(function, arguments); an answer is (kind, value).
"""

import os
import pickle
import resource
import signal
import sys
from enum import StrEnum
from traceback import format_exc
from typing import Any, BinaryIO

from broadcast.errors import InputError

LENGTH_BYTES = 8

NICENESS = 2
"""Whoever stops an alert goes before whoever hands in a large one. With much more, a busy machine would read none."""

MEMORY_BYTES = 1 << 30
"""Address space. The worst legal document takes a third of it."""

CALL_SECONDS = 45
"""A call that takes longer ends the process, should nobody be left who would."""


class Answer(StrEnum):
    """What became of a call: its value, what was wrong with the input, or a fault of ours."""

    VALUE = "value"
    REFUSED = "refused"
    FAULT = "fault"


def frame(content: bytes) -> bytes:
    """Content with its length before it."""
    return len(content).to_bytes(LENGTH_BYTES, "big") + content


def answer_calls(calls: BinaryIO, answers: BinaryIO) -> None:
    """Answer calls until there are no more."""
    while len(head := calls.read(LENGTH_BYTES)) == LENGTH_BYTES:
        signal.alarm(CALL_SECONDS)
        call = pickle.loads(calls.read(int.from_bytes(head, "big")))  # noqa: S301 (of the process that started this)
        answers.write(frame(pickle.dumps(_answer(*call))))
        answers.flush()
        signal.alarm(0)


def _answer(function: Any, *arguments: Any) -> tuple[Answer, Any]:
    try:
        return Answer.VALUE, function(*arguments)
    except InputError as error:
        return Answer.REFUSED, (str(error), error.findings)
    except Exception:
        return Answer.FAULT, format_exc()


def main() -> None:
    """Take calls until standard input ends, at low priority and within bounded memory."""
    # Ctrl-C and a stop of all go to whoever started this, who still waits for an answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    # What prints something must not garble the answers.
    os.dup2(2, 1)
    answer_calls(sys.stdin.buffer, answers)
