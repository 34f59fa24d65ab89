"""Timers of binds run on a monotonic clock: the wall clock may be set while a session lives."""

import re

from tests.support.sources import ROOT

WALL_CLOCKS = re.compile(r"epoch_milliseconds|\btime\.time\b|datetime\.now|utcnow|from time import")


def test_no_timer_of_a_bind_reads_the_wall_clock() -> None:
    """Only what is told to people has a time of day: the state of a bind."""
    found = {
        path.name for path in (ROOT / "broadcast" / "smpp").rglob("*.py") if WALL_CLOCKS.search(path.read_text("utf-8"))
    }
    assert found == {"kept_bind.py"}
