"""The report of the fault tests: one line a test, a table at the end, JSON for the long form."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from bench import fault_page
from bench.machine import describe_machine
from tests.fault.accounting import Account, draw_up
from tests.fault.system import SystemUnderTest


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What one test did and found. `hits` are kills of a stage that held unfinished work at that moment."""

    test: str
    kills: int = 0
    hits: int = 0
    recipients: int = 0
    lost: int = 0
    duplicates: int = 0
    allowed: int = 0
    marked: int = 0
    seconds: float = 0.0
    seed: int | None = None
    note: str = ""
    long: bool = False


COLUMNS = ("kills", "hits", "recipients", "lost", "duplicates", "allowed", "marked", "seconds")
entries: list[Entry] = []


def add(entry: Entry, account: Account | None = None) -> None:
    """Put an entry on the report, with the account, and print its line (`pytest -s` shows it)."""
    if account is not None:
        counts = {
            "recipients": account.audience,
            "lost": len(account.lost),
            "duplicates": account.duplicates,
            "marked": account.marked,
        }
        entry = Entry(**(asdict(entry) | counts))
    entries.append(entry)
    print("\nfault " + json.dumps({name: value for name, value in asdict(entry).items() if value not in ("", None)}))


async def conclude(
    system: SystemUnderTest,
    alerts: Sequence[UUID],
    entry: Entry,
    *,
    expected_alarms: Collection[str] = (),
    marks_at_most: int | None = None,
    unknown_allowed: bool = False,
) -> Account:
    """Draw up the account of these alerts, put it on the report with the entry, and check it.

    It fails with more duplicates than the entry allows; the other bounds are those of `Account.check`.
    """
    account = await draw_up(system, alerts, expected_alarms=expected_alarms)
    if account.unknown:
        entry = replace(entry, note=f"{entry.note}; {len(account.unknown)} unknown".removeprefix("; "))
    add(entry, account)
    account.check(duplicates_at_most=entry.allowed, marks_at_most=marks_at_most, unknown_allowed=unknown_allowed)
    return account


def table() -> list[str]:
    """The report as lines of text."""
    width = max((len(entry.test) for entry in entries), default=0)
    lines = ["test".ljust(width) + "".join(column.rjust(12) for column in COLUMNS) + "  note"]
    for entry in entries:
        values = [getattr(entry, column) for column in COLUMNS]
        shown = [f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" for value in values]
        lines.append(entry.test.ljust(width) + "".join(value.rjust(12) for value in shown) + f"  {entry.note}")
    return lines


def write() -> Path | None:
    """Write the report, and its table on the page, if the long form is on it; where the report is."""
    if not any(entry.long for entry in entries):
        return None
    content = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "tests": [asdict(entry) for entry in entries],
    }
    fault_page.REPORT.parent.mkdir(parents=True, exist_ok=True)
    fault_page.REPORT.write_text(json.dumps(content, indent=2) + "\n")
    fault_page.write()
    return fault_page.REPORT
