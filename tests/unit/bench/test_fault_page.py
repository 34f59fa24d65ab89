"""The page about performance says what the last report of the fault tests says."""

import json

from bench.fault_page import PAGE, REPORT, replace


def test_the_page_says_what_the_report_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == replace(page, json.loads(REPORT.read_text(encoding="utf-8"))), "run python -m bench.fault_page"


def test_another_report_changes_its_lines_of_the_page_and_nothing_else() -> None:
    page, report = PAGE.read_text(encoding="utf-8"), json.loads(REPORT.read_text(encoding="utf-8"))
    (long,) = (test for test in report["tests"] if test["long"])
    long["kills"] += 1
    before, after = page.splitlines(), replace(page, report).splitlines()
    assert [line for line in after if line not in before] == [
        line for line in after if f"{long['kills']:,}, of" in line
    ]
    assert len(before) == len(after)
