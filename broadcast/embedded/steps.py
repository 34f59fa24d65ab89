"""How the embedded system tells its caller what it is doing; the display is the caller's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["started", "advanced", "ended", "failed"]


@dataclass(frozen=True, slots=True)
class Progress:
    """One step's news. `done` of `total` are bytes when `unit` is bytes; a `total` of 0 means that none is known."""

    step: str
    phase: Phase
    done: int = 0
    total: int = 0
    unit: Literal["bytes", "steps"] = "steps"
    seconds: float = 0.0
    message: str = ""


Report = Callable[[Progress], None]
"""Called from the event loop's thread; it must return quickly and not raise."""


def discard(_: Progress) -> None:
    """The report of a caller who does not want one."""
