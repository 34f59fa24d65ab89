"""Processes that end or freeze at a named step of their work, or have another wall clock."""

import struct
from pathlib import Path
from typing import NamedTuple

INTERRUPTED = Path(__file__).parent / "interrupted"


class Step(NamedTuple):
    """A step of a process: before or after so many calls of a function of ours."""

    module: str
    function: str
    when: str
    number: int = 1

    def environment(self, signal_name: str = "SIGKILL") -> dict[str, str]:
        """What a process needs in its environment to get this signal at the step."""
        said = " ".join([self.module, self.function, self.when, str(self.number), signal_name])
        return {"PYTHONPATH": str(INTERRUPTED), "INTERRUPT_AT": said}


class ShiftedClock:
    """The wall clock of processes that have `environment`: it is so many seconds ahead of this host's."""

    def __init__(self, file: Path, seconds: float = 0.0) -> None:
        self._file = file
        self._file.write_bytes(struct.pack("d", seconds))
        self.environment = {"PYTHONPATH": str(INTERRUPTED), "CLOCK_SHIFT": str(file)}

    def shift(self, seconds: float) -> None:
        """Set it from now on, in processes that run too."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("d", seconds))
