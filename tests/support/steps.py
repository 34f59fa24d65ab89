"""Processes that end or freeze at a named step of their work."""

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
