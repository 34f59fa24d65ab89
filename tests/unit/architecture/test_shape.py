"""The architecture, tested: the import arrow, the size of files, no I/O in pure rooms."""

import ast
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from tests.support.sources import PACKAGES, ROOT, parse, sources

PURE = ("schemas", "broadcast/text", "broadcast/cap", "broadcast/lifecycle", "broadcast/routing")
LONGEST_FILE = 500
MEDIAN_FILE = 160
IO_CALLS = {"open", "print", "input"}


def test_imports_follow_the_arrow() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_file_is_long_and_half_of_them_are_short() -> None:
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in sources(*PACKAGES)}
    assert not {path: length for path, length in lengths.items() if length > LONGEST_FILE}
    assert median(lengths.values()) <= MEDIAN_FILE


@pytest.mark.parametrize("path", sources(*PURE), ids=str)
def test_pure_rooms_never_await_and_do_no_io(path: Path) -> None:
    found = [
        f"line {node.lineno}: {ast.unparse(node)[:60]}"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IO_CALLS)
    ]
    assert not found
