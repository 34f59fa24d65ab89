"""The architecture, tested: the import arrow, the size of files, no I/O in pure rooms."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sources import parse

ROOT = Path(__file__).parents[3]
PACKAGES = ("schemas", "broadcast", "streams")
PURE = (
    "schemas",
    "broadcast/text",
    "broadcast/cap",
    "broadcast/lifecycle",
    "broadcast/routing",
    "broadcast/smpp/codec",
)
LONGEST_FILE = 500
MEDIAN_FILE = 160
BANNED_WORDS = ("dlq", "helper", "manager", "util", "utils", "notification", "campaign")
IO_CALLS = {"open", "print", "input"}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_imports_follow_the_arrow() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_file_is_longer_than_500_lines_and_the_median_is_short() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in sources(*PACKAGES)}
    assert not {str(path): length for path, length in lengths.items() if length > LONGEST_FILE}
    assert sorted(lengths.values())[len(lengths) // 2] <= MEDIAN_FILE


@pytest.mark.parametrize("path", sources(*PURE), ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_rooms_never_await_and_do_no_io(path: Path) -> None:
    tree = parse(path)
    found = [
        f"line {node.lineno}: {ast.unparse(node)[:60]}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IO_CALLS)
    ]
    assert not found


def test_modules_are_named_by_the_glossary() -> None:
    assert not [str(path) for path in sources(*PACKAGES) if path.stem in BANNED_WORDS]
