"""No file refers to anything outside the repository, and no link leads nowhere."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BINARY = {".pem", ".svg", ".png"}
# A character class in each pattern keeps this file from matching itself.
OUTSIDE = re.compile(
    r"design, sect[i]on|referenc[e] [a-z-]+\.md|smp[p]\.md, |kafk[a]\.md, |th[e] design\b|\bissu[e] \d|/wor[k]/"
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PAGE = re.compile(r"\bdocs/(?:[\w-]+/)*[\w-]+(?:\.md)?")


@cache
def texts() -> dict[Path, str]:
    """Every tracked text file by its path in the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [Path(name) for name in listed.stdout.split("\0") if name]
    readable = [path for path in paths if path.suffix not in BINARY and (ROOT / path).is_file()]
    return {path: (ROOT / path).read_text(encoding="utf-8") for path in readable}


def test_nothing_refers_to_what_is_not_in_the_repository() -> None:
    found = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, text in texts().items()
        if path.parts[:2] != ("bench", "results")
        for number, line in enumerate(text.splitlines(), 1)
        if OUTSIDE.search(line)
    ]
    assert not found


@pytest.mark.parametrize("page", [path for path in texts() if path.suffix == ".md"], ids=str)
def test_links_of_a_document_lead_somewhere(page: Path) -> None:
    targets = [target.partition("#")[0] for target in LINK.findall(texts()[page]) if "://" not in target]
    assert not [target for target in targets if target and not (ROOT / page.parent / target).exists()]


def test_each_document_that_the_code_names_is_there() -> None:
    """`docs/adr/0010` stands for the record of that number."""
    missing = [
        f"{path}: {name}"
        for path, text in texts().items()
        if path.suffix == ".py"
        for name in PAGE.findall(text)
        if not (ROOT / name).exists() and not list(ROOT.glob(f"{name}*.md"))
    ]
    assert not missing
