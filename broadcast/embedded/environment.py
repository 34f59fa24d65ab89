"""The variables of a shell that stand for a stack's own servers; after its stop they lead nowhere."""

from collections.abc import Mapping
from pathlib import Path

from broadcast.embedded.directory import write_private

OWN_FILE = "own.env"
"""In the data directory: the values that its last stack made itself. It stays after a stop; `stack.env` does not."""


def write_variables(file: Path, variables: Mapping[str, str]) -> None:
    """Write variables as a shell reads them, for this user only."""
    write_private(file, "".join(f"{name}='{value}'\n" for name, value in sorted(variables.items())))


def without_own(environment: Mapping[str, str], directory: Path) -> dict[str, str]:
    """The environment without the values that a stack made itself: one in `directory`, or where the shell points.

    A shell that has read `stack.env` keeps them after the stop. A server of somebody else stays.
    """
    directories = {directory, Path(environment.get("BROADCAST_DATA_DIR") or directory)}
    own = [pair for each in directories for pair in _read(each / OWN_FILE)]
    return {name: value for name, value in environment.items() if (name, value) not in own}


def _read(file: Path) -> list[tuple[str, str]]:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return []
    pairs = (line.partition("=") for line in lines)
    return [(name, value.removeprefix("'").removesuffix("'")) for name, _, value in pairs]
