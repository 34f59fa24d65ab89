"""Reading our own sources."""

import ast
import gc
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "broadcast", "streams")


def sources(*folders: str) -> list[Path]:
    """The Python files below some folders of the repository, by their paths in it."""
    return sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py"))


def read_sources(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """Path and syntax tree of each of these files."""
    for path in sources(*folders):
        yield path, parse(path)


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of a file of the repository.

    Without garbage collection: in CPython 3.11 a finalizer that runs while a tree is built, such as that of a Kafka
    client that some test has killed, makes `ast.parse` fail (python/cpython#106905).
    """
    gc.disable()
    try:
        return ast.parse((ROOT / path).read_text(encoding="utf-8"))
    finally:
        gc.enable()


def find_log_events(*rooms: Path) -> set[str]:
    """The names of all events that the sources in these rooms log."""
    calls = (node for room in rooms for path in room.rglob("*.py") for node in ast.walk(parse(path)))
    return {
        node.args[0].value
        for node in calls
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "log"
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }
