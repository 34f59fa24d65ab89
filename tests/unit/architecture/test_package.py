"""The package, tested: what is imported is declared, what is declared is locked, and the types are announced."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.support.sources import parse

ROOT = Path(__file__).parents[3]
PACKAGES = ("schemas", "broadcast", "streams")
PART_OF = {"pydantic-core": "pydantic", "starlette": "fastapi"}
"""Distributions whose version is fixed by another one, and whose types are part of that one's API."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def normal(requirement: str) -> str:
    """The distribution's name in a requirement, in lower case with hyphens."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def imported(folder: str) -> set[str]:
    """The first names of all absolute imports in the Python files of a folder."""
    names: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - set(PACKAGES)


def test_every_imported_distribution_is_declared() -> None:
    declared = {normal(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["embedded"]}
    provided = {
        name: {PART_OF.get(normal(distribution), normal(distribution)) for distribution in distributions}
        for name, distributions in packages_distributions().items()
    }
    undeclared = {name for folder in PACKAGES for name in imported(folder) if not declared & provided.get(name, set())}
    assert not undeclared


def test_every_dependency_is_locked_with_hashes_and_without_an_address() -> None:
    for file, extras in (("runtime", []), ("embedded", ["embedded"]), ("dev", ["embedded", "dev"])):
        locked = (ROOT / "requirements" / f"{file}.txt").read_text()
        assert "://" not in locked
        names = set(re.findall(r"^([a-z0-9-]+)==", locked, re.MULTILINE))
        wanted = PROJECT["dependencies"] + [
            line for extra in extras for line in PROJECT["optional-dependencies"][extra]
        ]
        assert {normal(line) for line in wanted} <= names


def test_packages_announce_their_types_and_the_licence_is_complete() -> None:
    assert all((ROOT / package / "py.typed").is_file() for package in PACKAGES)
    assert PROJECT["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_changelog_has_the_version() -> None:
    assert f"## [{PROJECT['version']}] - " in (ROOT / "CHANGELOG.md").read_text()
