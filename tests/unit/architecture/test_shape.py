"""The architecture, tested: the import arrow, files and rooms, no I/O in pure rooms."""

import ast
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median

import pytest

from tests.support.sources import PACKAGES, ROOT, parse, read_sources, sources

PURE = (
    "schemas",
    "broadcast/text",
    "broadcast/cells",
    "broadcast/cap",
    "broadcast/lifecycle",
    "broadcast/routing",
    "broadcast/smpp/codec",
    "broadcast/smpp/rates",
)
LONGEST_FILE = 500
MEDIAN_FILE = 160
MOST_FILES = 14
"""Of one room, its `__init__` aside. Migrations are a history, to which each change of a table adds."""
MIGRATIONS = "broadcast/database/migrations/versions"
IO_CALLS = {"open", "print", "input"}

SAME_NAMES = {
    "accounts": "the accounts of SMSCs that a room knows",
    "alarms": "alarms, and the commands about them",
    "app": "the application object of a framework",
    "errors": "the exceptions of a room",
    "groups": "groups of recipients: rows, HTTP routes and commands",
    "keys": "API keys, and the commands about them",
    "lane": "the lane of an alert, and how CAP decides it",
    "link": "one end of an SMPP connection",
    "metrics": "the metrics of a room",
    "pool": "a pool of connections",
    "reading": "bytes or rows, read as what they stand for",
    "receipts": "delivery receipts",
    "routes": "routes of phone numbers, and the commands about them",
    "rows": "rows of a table before they are written",
    "server": "a server: start, serve, stop",
    "session": "a session with a server, held for long",
    "sources": "partitions that a stage reads",
    "state": "the state of what a room is about",
    "topics": "topics of Kafka: names, catalogue, commands",
    "writing": "what a room makes, written as bytes or records",
}
"""Names that files of several rooms have, and the one kind of thing that all of them are."""


def rooms_of_names() -> dict[str, set[str]]:
    """Rooms by the name of a file in them."""
    rooms: dict[str, set[str]] = defaultdict(set)
    for path in sources(*PACKAGES):
        if not path.stem.startswith("__"):
            rooms[path.stem].add(str(path.parent))
    return rooms


def test_imports_follow_the_arrow() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_file_is_long_and_half_of_them_are_short() -> None:
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in sources(*PACKAGES)}
    assert not {path: length for path, length in lengths.items() if length > LONGEST_FILE}
    assert median(lengths.values()) <= MEDIAN_FILE


def test_a_room_has_few_files() -> None:
    files = Counter(
        str(path.parent) for path in sources(*PACKAGES) if path.name != "__init__.py" and path.parent.name != "versions"
    )
    assert not {room: count for room, count in files.items() if count > MOST_FILES}


def test_each_migration_follows_the_one_before() -> None:
    names = sorted(path.name for path in (ROOT / MIGRATIONS).glob("[0-9]*.py"))
    assert [name[:4] for name in names] == [f"{number:04d}" for number in range(1, len(names) + 1)]
    for number, name in enumerate(names, 1):
        text = (ROOT / MIGRATIONS / name).read_text()
        before = f'"{number - 1:04d}"' if number > 1 else "None"
        assert f'revision = "{number:04d}"\ndown_revision = {before}\n' in text, name


def test_files_of_one_name_are_one_kind_of_thing() -> None:
    shared = {name: rooms for name, rooms in rooms_of_names().items() if len(rooms) > 1}
    assert not {name: rooms for name, rooms in shared.items() if name not in SAME_NAMES}
    assert not SAME_NAMES.keys() - shared.keys(), "no file shares these any more"


@pytest.mark.parametrize("path", sources(*PURE), ids=str)
def test_pure_rooms_never_await_and_do_no_io(path: Path) -> None:
    found = [
        f"line {node.lineno}: {ast.unparse(node)[:60]}"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IO_CALLS)
    ]
    assert not found


def test_an_object_has_all_its_parts_from_the_beginning() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, tree in read_sources(*PACKAGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node).startswith("hasattr(self")
    ]
    assert not found
