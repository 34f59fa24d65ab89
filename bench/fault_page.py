"""The table of the fault tests on the page about performance, from their report.

`python -m bench.fault_page` writes it; so does `make fault` when the long form has run.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

REPORT: Final = Path(__file__).parent / "results" / "fault.json"
PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"
_TABLE: Final = re.compile(r"(?<=\n## Faults\n\n).*?\n\n.*?\n(?=\n)", re.DOTALL)
"""A line that says over how many recipients, an empty line, and the table."""


def render(report: Mapping[str, Any]) -> str:
    """The lines of the page by a report: those of the long form."""
    (found,) = (test for test in report["tests"] if test["long"])
    sent_twice = f"{found['duplicates']:,}; the limit is {found['allowed']:,}"
    return f"""`make fault`, long form, over {found["recipients"]:,} recipients:

| measured | result |
|---|---|
| kills with `kill -9` | {found["kills"]:,}, of which {found["hits"]:,} hit a stage with unfinished work |
| recipients lost | {found["lost"]:,} |
| messages sent twice | {sent_twice}: 100 in doubt for each kill of a sender |
| messages marked `possible_duplicate` | {found["marked"]:,}, among them all that were sent twice |
"""


def replace(page: str, report: Mapping[str, Any]) -> str:
    """The page with the lines of this report."""
    found, number = _TABLE.subn(lambda _: render(report), page)
    if number != 1:
        raise ValueError("docs/performance.md has no section 'Faults' with a table; put it back")
    return found


def write() -> None:
    """Write the page anew from the report."""
    page = replace(PAGE.read_text(encoding="utf-8"), json.loads(REPORT.read_text(encoding="utf-8")))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    write()
