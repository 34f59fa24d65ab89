"""Each wait of the system has a budget with a name, and stands on the page of waits with it."""

import ast
import importlib
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.sources import ROOT, read_sources

PAGE = ROOT / "docs/explanation/waits.md"
ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<budget>[\d.]+) (?P<unit>s|ms) \| `(?P<name>[\w.]+)` \|", re.MULTILINE)
BUDGETS = {"timeout", "command_timeout", "timeout_seconds", "budget_seconds", "command_timeout_seconds"}
"""Keywords by which a call is given a budget."""
OTHERS = ("broadcast/embedded", "broadcast/smsc", "broadcast/cli", "broadcast/smpp")
"""The stack on one machine, the simulator, commands, and the timers of SMPP, which have a page of their own."""

ROWS = [match.groupdict() for match in ROW.finditer(PAGE.read_text(encoding="utf-8"))]


def value_of(name: str) -> object:
    module, _, constant = name.rpartition(".")
    return getattr(importlib.import_module(module), constant)


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row['name']}: {row['what']}") for row in ROWS])
def test_a_budget_on_the_page_is_the_one_in_the_code(row: dict[str, str]) -> None:
    assert row["name"].endswith("_MS") == (row["unit"] == "ms")
    assert value_of(row["name"]) == float(row["budget"])


def test_no_wait_stands_on_the_page_twice() -> None:
    waits = Counter((row["what"], row["name"]) for row in ROWS)
    assert [wait for wait, times in waits.items() if times > 1] == []


def budgets(tree: ast.AST) -> Iterator[tuple[int, ast.expr]]:
    """The budget of each call that waits, where it is given one."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called == "asyncio.timeout":
            yield node.lineno, node.args[0]
        elif called == "asyncio.wait_for" and len(node.args) > 1:
            yield node.lineno, node.args[1]
        else:
            yield from ((node.lineno, word.value) for word in node.keywords if word.arg in BUDGETS)


def test_each_budget_of_a_wait_has_a_name_that_stands_on_the_page() -> None:
    names = {row["name"].rpartition(".")[2] for row in ROWS}
    missing = []
    for path, tree in read_sources("broadcast", "streams"):
        if str(path).startswith(OTHERS):
            continue
        for line, budget in budgets(tree):
            numbers = [node for node in ast.walk(budget) if isinstance(node, ast.Constant) and node.value is not None]
            constants = {node.id for node in ast.walk(budget) if isinstance(node, ast.Name) and node.id.isupper()}
            if (numbers and not constants) or constants - names:
                missing.append(f"{path}:{line}: {ast.unparse(budget)}")
    assert not missing, "put these on docs/explanation/waits.md"


def test_the_page_holds_each_kind_of_wait() -> None:
    assert len(ROWS) > 40
    page = PAGE.read_text(encoding="utf-8")
    for kind in ("lock", "advisory", "connecting", "statement", "lease", "poll", "drain", "transaction", "executors"):
        assert kind in page
