"""The page of what may stand in a cell: its examples are run."""

import re
from pathlib import Path

import pytest

from broadcast.cells.coordinates import read_degrees
from broadcast.cells.digits import NumberError
from broadcast.cells.headers import HEADERS, field_of
from broadcast.cells.languages import NAMES, read_language
from broadcast.cells.names import read_name
from broadcast.cells.numbers import normalise
from broadcast.cells.renumbered import RENUMBERED
from broadcast.cells.yes_no import WORDS, read_yes_no

PAGE = (Path(__file__).parents[3] / "docs/reference/cells.md").read_text(encoding="utf-8")
SIGNS = str.maketrans({"→": "\t", "⍽": "\u00a0", "◊": "\u200b"})


def lines(title: str) -> list[list[str]]:
    """The rows of the tables under a heading, cell by cell."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [re.split(r"\s*\|\s*", line.strip("|")) for line in section.splitlines() if re.match(r"\| *`", line)]
    assert len(rows) >= 3
    return [[cell.removeprefix(" ") if cell.startswith(" `") else cell.strip() for cell in row] for row in rows]


def code(cell: str) -> str:
    found = re.fullmatch(r" *`([^`]*)` *", cell)
    assert found, cell
    return found[1]


@pytest.mark.parametrize("row", lines("Phone numbers"), ids=lambda row: row[0])
def test_numbers(row: list[str]) -> None:
    text = code(row[0])
    region, outcome = (row[1].strip(), row[2]) if len(row) > 2 and row[2] else ("", row[1])
    if outcome.startswith("refused"):
        with pytest.raises(NumberError, match=re.escape(outcome.removeprefix("refused: "))):
            normalise(text, region or None)
    else:
        assert normalise(text, region or None) == code(outcome)


@pytest.mark.parametrize("row", lines("Names of groups and external ids"), ids=lambda row: row[0])
def test_names(row: list[str]) -> None:
    assert read_name(code(row[0]).translate(SIGNS)) == code(row[1])


@pytest.mark.parametrize("row", lines("Languages"), ids=lambda row: row[0])
def test_languages(row: list[str]) -> None:
    assert read_language(code(row[0])) == (None if row[1] == "refused" else code(row[1]))


@pytest.mark.parametrize("row", lines("Latitude and longitude"), ids=lambda row: row[0])
def test_degrees(row: list[str]) -> None:
    assert read_degrees(code(row[0]), 90) == (None if row[1] == "refused" else float(code(row[1])))


@pytest.mark.parametrize("row", lines("Yes and no"), ids=lambda row: row[0])
def test_yes_and_no(row: list[str]) -> None:
    assert read_yes_no(code(row[0])) is {"yes": True, "no": False, "refused": None}[row[1]]


@pytest.mark.parametrize("row", lines("Headers"), ids=lambda row: row[0])
def test_headers(row: list[str]) -> None:
    assert field_of(code(row[0])) == (None if row[1] == "refused" else row[1])


def test_no_word_of_a_table_means_two_things() -> None:
    titles = [title for field in HEADERS.values() for title in field]
    assert [title for field, titles in HEADERS.items() for title in titles if field_of(title) != field] == []
    assert len(titles) > 100
    names = [name for several in NAMES.values() for name in several]
    assert len(names) == len(set(names))
    assert [name for tag, several in NAMES.items() for name in several if read_language(name) != tag] == []
    assert not set(WORDS[True]) & set(WORDS[False])
    assert [word for meaning, words in WORDS.items() for word in words if read_yes_no(word) is not meaning] == []


def test_every_country_that_has_changed_its_numbers_gives_its_reason() -> None:
    assert len({line.country for line in RENUMBERED}) == len(RENUMBERED)
    assert all(line.reason.split()[0] in {"is", "has"} for line in RENUMBERED)
