"""Groups by area: from a table, and never more than it says."""

from typing import Any

import pytest

from broadcast.cap import TargetError, groups_of_areas, read_area_table
from broadcast.errors import InputError
from schemas.alert import Alert

TABLE = read_area_table(
    "name,value,group\nSAME,006037,la-county\nSAME,006037,la-coast\nsame,006038,la-north\n"
    "areaDesc,Old  Harbour,harbour\n"
)


def area(description: str = "x", *codes: tuple[str, str]) -> dict[str, Any]:
    return {"areaDesc": description, "geocode": [{"valueName": name, "value": value} for name, value in codes]}


def alert(*infos: list[dict[str, Any]]) -> Alert:
    common = {"category": ["Met"], "event": "Flood", "urgency": "Past", "severity": "Minor", "certainty": "Likely"}
    head = {"identifier": "i", "sender": "s", "sent": "2030-01-01T00:00:00-00:00", "status": "Actual"}
    content = head | {"msgType": "Alert", "scope": "Public", "info": [common | {"area": areas} for areas in infos]}
    return Alert.model_validate(content)


def groups(*infos: list[dict[str, Any]]) -> tuple[str, ...]:
    return groups_of_areas(alert(*infos), range(len(infos)), TABLE)


def test_geocodes_that_the_table_knows_decide_else_the_description() -> None:
    assert groups([area("x", ("SAME", "006037"), ("UGC", "CAZ087"))]) == ("la-county", "la-coast")
    assert groups([area("old harbour"), area("x", ("Same", "006038"))]) == ("harbour", "la-north")


@pytest.mark.parametrize(
    ("infos", "path"),
    [
        ([[area("x", ("SAME", "006037"), ("SAME", "999999"))]], "info[0].area[0]"),
        ([[area("old harbour"), area("elsewhere")]], "info[0].area[1]"),
        ([[area("old harbour", ("SAME", "999999"))]], "info[0].area[0]"),
        ([[]], "info[0].area"),
        ([[area("old harbour")], [area("x", ("SAME", "006038"))]], "info[1].area"),
    ],
    ids=["a-code", "a-description", "a-code-beside-a-description", "no-area", "two-infos"],
)
def test_what_the_table_does_not_hold_refuses_the_whole_alert(infos: list[list[dict[str, Any]]], path: str) -> None:
    with pytest.raises(TargetError) as caught:
        groups(*infos)
    assert [finding[:2] for finding in caught.value.findings] == [(path, "areas")]


def test_infos_for_the_same_groups_are_one_alert() -> None:
    assert groups([area("old harbour")], [area("OLD HARBOUR")]) == ("harbour",)


@pytest.mark.parametrize(
    ("text", "line"),
    [("", 1), ("name,value\n", 1), ("name,value,group\na,b\n", 2), ("name;value;group\na;b;\n", 2)],
)
def test_a_table_that_cannot_be_read_names_its_line(text: str, line: int) -> None:
    with pytest.raises(InputError, match=f"^line {line}: "):
        read_area_table(text)


def test_a_table_of_a_spreadsheet_is_read() -> None:
    assert read_area_table("\ufeffName;Value;Group\r\nSAME;1;a\r\n\r\n").groups == {("same", "1"): ("a",)}
