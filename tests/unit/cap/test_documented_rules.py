"""Each rule that a finding may name is explained in docs/cap.md."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
RULE = re.compile(r'"([RLM]\d{1,2}|6\.\d)"')
OTHERS = {"json", "xml", "segments", "event", "E.164", "cursor"}
"""Rules whose ids are words: in the code they cannot be told from other texts."""


def test_each_rule_of_a_finding_is_explained() -> None:
    page = (ROOT / "docs/cap.md").read_text(encoding="utf-8")
    explained = {
        rule for cells in re.findall(r"^\| ([\w., ]+) \| .*\|$", page, re.MULTILINE) for rule in cells.split(", ")
    }
    sources = [path for room in ("broadcast", "schemas") for path in (ROOT / room).rglob("*.py")]
    named = {rule for path in sources for rule in RULE.findall(path.read_text(encoding="utf-8"))}
    assert {"L1", "M3", "M5", "R1", "6.1"} <= named
    assert named | OTHERS <= explained
