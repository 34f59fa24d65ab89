"""The rules on whole alerts: each fires where it should and nowhere else."""

from datetime import timedelta
from typing import Any

import pytest

from broadcast.cap import CapError, Level, require_valid, validate, warn_of_future
from schemas.alert import Alert

AREA = {"areaDesc": "a"}
INFO = {
    "category": ["Met"],
    "event": "Flood",
    "urgency": "Immediate",
    "severity": "Severe",
    "certainty": "Observed",
    "expires": "2030-01-01T06:00:00-00:00",
    "area": [AREA],
}


def alert(*infos: dict[str, Any], **fields: Any) -> Alert:
    head = {
        "identifier": "i",
        "sender": "s",
        "sent": "2030-01-01T00:00:00-00:00",
        "status": "Actual",
        "scope": "Public",
    }
    return Alert.model_validate(head | {"msgType": "Alert", "info": [INFO | info for info in infos]} | fields)


def resource(**fields: Any) -> dict[str, Any]:
    return {"resource": [{"resourceDesc": "map", "mimeType": "image/png"} | fields]}


def polygon(points: str) -> dict[str, Any]:
    return {"area": [AREA | {"polygon": [points]}]}


def zigzag(count: int) -> str:
    points = [f"{10 + step % 2 + step / 10_000:.4f},{step / 100:.2f}" for step in range(count - 2)]
    return " ".join([*points, "0,6", points[0]])


def test_a_plain_alert_has_no_findings() -> None:
    assert validate(alert({})) == ()


@pytest.mark.parametrize(
    ("found", "level", "path", "rule"),
    [
        (alert(), "error", "info", "6.1"),
        (alert({"responseType": ["Assess"]}), "warning", "info[0].responseType", "6.2"),
        (alert({}, status="Exercise"), "warning", "note", "6.2"),
        (alert({"severity": "Unknown"}), "warning", "info[0].severity", "6.2"),
        (alert({}, references="s,j,2031-01-01T00:00:00-00:00"), "warning", "references", "R6"),
        (alert({"expires": None}), "warning", "info[0].expires", "R8"),
        (alert({"expires": "2030-01-01T01:00:00+01:00"}), "warning", "info[0].expires", "R8"),
        (alert({"headline": "a" * 161}), "warning", "info[0].headline", "R9"),
        (alert({"web": "www.example.org"}), "warning", "info[0].web", "R9"),
        (alert({"web": "http://[x"}), "warning", "info[0].web", "R9"),
        (alert(resource(uri="map.png")), "error", "info[0].resource[0].uri", "R10"),
        (alert(resource(digest="abc")), "warning", "info[0].resource[0].digest", "R10"),
        (alert({}, polygon("0,0 1,1 1,0 0,1 0,0")), "error", "info[1].area[0].polygon[0]", "R11"),
        (alert(polygon("0,0 0,2 2,2 2,0 1,0 1,1 1,0 0,0")), "warning", "info[0].area[0].polygon[0]", "R11"),
        (alert({"effective": "2030-01-01T02:00:00+01:00"}), "warning", "info[0].effective", "R8"),
        (alert({"area": [AREA | {"circle": ["1,1 0"]}]}), "warning", "info[0].area[0].circle[0]", "R12"),
        (alert({"area": []}), "warning", "info[0].area", "R15"),
        (alert({}, {"category": ["Geo"]}), "warning", "info[1]", "R16"),
        (alert({}, {"eventCode": [{"valueName": "SAME", "value": "FLW"}]}), "warning", "info[1]", "R16"),
        (alert({"instruction": "Go <b>now</b>"}), "warning", "info[0].instruction", "R18"),
        (alert({"description": "a &nbsp; b"}), "warning", "info[0].description", "R18"),
    ],
)  # fmt: skip
def test_each_rule_is_found_alone(found: Alert, level: str, path: str, rule: str) -> None:
    assert [(finding.level, finding.path, finding.rule) for finding in validate(found)] == [(level, path, rule)]


@pytest.mark.parametrize(
    "allowed",
    [
        alert({}, {"language": "de"}),
        alert({"instruction": "if level < 3 or level > 5 & rising"}),
        alert(resource(uri="map.png", derefUri="AAAA")),
        alert(status="Actual", msgType="Cancel", references="s,j,2029-01-01T00:00:00-00:00"),
        alert({}, status="Exercise", note="Exercise 7"),
        alert({"onset": "2030-01-02T06:00:00-00:00"}),
    ],
)
def test_what_is_allowed_is_not_found(allowed: Alert) -> None:
    assert validate(allowed) == ()


def test_an_error_among_the_findings_refuses() -> None:
    faulty = alert({"expires": None}, polygon("0,0 1,1 1,0 0,1 0,0"))
    with pytest.raises(CapError, match=r"info\[1\].area\[0\].polygon\[0\]: crosses") as caught:
        require_valid(faulty)
    assert [finding.level for finding in caught.value.details] == [Level.WARNING, Level.ERROR]
    assert [rule for _, rule, _ in caught.value.findings] == ["R11"]
    assert [finding.rule for finding in require_valid(alert({"expires": None}))] == ["R8"]


def test_a_sent_in_the_future_is_a_warning_that_names_now() -> None:
    found = alert({})
    assert warn_of_future(found, found.sent - timedelta(hours=1)) == ()
    (finding,) = warn_of_future(found, found.sent - timedelta(hours=1, seconds=1))
    assert (finding.level, finding.path, finding.rule) == (Level.WARNING, "sent", "R2")
    assert finding.message.startswith("2030-01-01T00:00:00-00:00 is in the future")
    assert "--now" in finding.message
