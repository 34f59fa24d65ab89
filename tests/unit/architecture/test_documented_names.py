"""Names in the documents are names in the code: paths, settings, fields, log events."""

import re
from functools import cache
from pathlib import Path

import pytest

from broadcast.alarms import KINDS, RUNBOOKS
from tests.support.sources import find_log_events

ROOT = Path(__file__).parents[3]
PAGES = [*sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("*.md"))]
SOURCES = ("broadcast", "schemas", "streams", "bench", "ops", "tests", "examples", "pyproject.toml", "Makefile")
QUOTED = re.compile(r"`([^`\n]+)`")
NAME = re.compile(r"[a-z]+(?:_[a-z0-9]+)+")
SETTING = re.compile(r"BROADCAST_[A-Z0-9_]+")
PATH = re.compile(r"(?:broadcast|schemas|streams|tests|docs|ops|examples|bench|requirements)(?:/[\w.-]+)+/?")
OF_OTHERS = {"submit_sm", "submit_sm_resp", "enquire_link", "read_committed", "exactly_once"}
"""Words of SMPP, Kafka and Faust."""
MADE = {"ops/secrets/", "ops/tls/"}
"""What a command or an operator makes."""


@cache
def words() -> frozenset[str]:
    found: set[str] = set()
    for name in SOURCES:
        paths = [ROOT / name] if (ROOT / name).is_file() else sorted((ROOT / name).rglob("*"))
        for path in paths:
            if path.suffix in {".py", ".toml", ".yml", ".yaml", ".json", ".sh", ""} and path.is_file():
                found.update(re.findall(r"[A-Za-z_0-9]+", path.read_text(encoding="utf-8")))
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_in_a_document_are_names_in_the_code(page: Path) -> None:
    quoted = QUOTED.findall(page.read_text(encoding="utf-8"))
    # prometheus_client adds `_total` to the name of a counter.
    names = {text.removeprefix("tocsin_").removesuffix("_total") for text in quoted if NAME.fullmatch(text)}
    assert {
        name for name in names if not {name, f"tocsin_{name}", f"tocsin_{name}_total"} & words()
    } - OF_OTHERS == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_in_a_document_exist(page: Path) -> None:
    settings = set(SETTING.findall(page.read_text(encoding="utf-8")))
    known = {f"BROADCAST_{word.upper()}" for word in words()} | words()
    assert settings - known == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_in_a_document_exist(page: Path) -> None:
    paths = {path for text in QUOTED.findall(page.read_text(encoding="utf-8")) for path in PATH.findall(text)}
    assert not [path for path in paths - MADE if not (ROOT / path).exists()]


def test_each_log_event_in_a_document_is_logged() -> None:
    page = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
    table = page[page.index("## Log events") :]
    events = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert len(events) > 5
    assert events - find_log_events(ROOT / "broadcast", ROOT / "streams") == set()


def test_each_kind_of_alarm_is_explained() -> None:
    page = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
    table = page[page.index("## Alarms") : page.index("## Rules of Prometheus")]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(KINDS)


def test_each_kind_of_alarm_has_its_runbook() -> None:
    page = (ROOT / RUNBOOKS).read_text(encoding="utf-8")
    assert set(re.findall(r"^## (\w+)$", page, re.MULTILINE)) == set(KINDS)
