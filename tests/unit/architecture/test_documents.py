"""The documentation: a short README, an index with every page, and reference pages with every command and topic."""

import os
from collections.abc import Iterator
from pathlib import Path

import click

from broadcast.cli import root
from schemas.topics import Names, RouteTopics, catalogue

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
README_LINES = 150


def commands(command: click.Command, path: str) -> Iterator[str]:
    """Every command below this one, as a person types it."""
    if not isinstance(command, click.Group):
        yield path
        return
    context = click.Context(command, info_name=path)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from commands(found, f"{path} {name}")


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < README_LINES


def test_the_index_leads_to_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = [path.relative_to(DOCS) for path in DOCS.rglob("*.md") if path.parent.name != "adr"]
    assert not [page for page in pages if f"({page})" not in index and page != Path("README.md")]


def test_the_reference_has_every_command() -> None:
    page = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    assert not [command for command in commands(root, "broadcast") if f"`{command}" not in page]


def test_the_reference_has_every_topic() -> None:
    page = (DOCS / "reference" / "topics.md").read_text(encoding="utf-8")
    topics = catalogue(Names(""), [RouteTopics("R", 1, (5,))])
    general = {
        topic.name.replace("immediate", "L").replace("priority", "L").replace("routine", "L").replace(".5s.", ".Ns.")
        for topic in topics
    }
    assert not [name for name in general if f"`{name}`" not in page]


def test_every_file_that_the_readme_shows_as_an_example_is_there() -> None:
    words = (ROOT / "README.md").read_text(encoding="utf-8").split()
    examples = {word for word in words if word.startswith("examples" + os.sep)}
    assert examples
    assert all((ROOT / example).is_file() for example in examples)


def test_the_list_of_rooms_has_every_package() -> None:
    lines = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()
    listed = {
        entry.rstrip("/").rpartition("/")[2]
        for line in lines
        if line.startswith("| `")
        for entry in line.split("|")[1].split("`")[1::2]
    }
    packages = {path.parent.name for path in (ROOT / "broadcast").rglob("__init__.py")} - {"broadcast"}
    assert packages - listed == set()
