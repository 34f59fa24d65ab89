"""CAP's rules on a whole alert, as a table (docs/cap.md): those that the model cannot check, and warnings.

What the model itself refuses (R1 to R6, R8, R11, R12, R14 and the enumerations) never gets here.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from urllib.parse import urlsplit

from broadcast.cap.findings import CapError, Finding, Level
from broadcast.cap.geometry import Budget, Shape, read_points, shape_of
from schemas.alert import PROBLEMS_MAX, Alert, Certainty, MsgType, ResponseType, Scope, Severity, Status, Urgency
from schemas.scalar import write_instant

HEADLINE_MAX = 160
GEOMETRY_UNITS = 1_000_000
"""What looking at the polygons of one alert may cost: 0.2 s. A coast of 10,000 points costs a quarter of it."""

FUTURE_MAX = timedelta(hours=1)
"""So far the clock of a sender may be ahead without a warning."""

Broken = Iterator[tuple[str, str]]

_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|&[a-zA-Z]+;|&#\d+;")
_SHA1 = re.compile(r"[0-9a-fA-F]{40}")


def _no_info(alert: Alert) -> Broken:
    if alert.msg_type in (MsgType.ALERT, MsgType.UPDATE) and not alert.info:
        yield "info", f"msgType {alert.msg_type} needs an info, or there is nothing to read"


def _later_references(alert: Alert) -> Broken:
    for reference in alert.referred:
        if reference.sent > alert.sent:
            yield "references", f"{reference} was sent later than this alert"


def _expires(alert: Alert) -> Broken:
    for index, info in enumerate(alert.info):
        if info.expires is None:
            yield f"info[{index}].expires", "is absent; the default expiry holds"
        elif info.expires <= alert.sent:
            yield f"info[{index}].expires", "is not later than sent, so this info will not be sent"
        if info.effective is not None and info.effective > alert.sent:
            yield f"info[{index}].effective", "is later than sent; the alert is sent at once all the same"


def _headlines(alert: Alert) -> Broken:
    for index, info in enumerate(alert.info):
        if info.headline and len(info.headline) > HEADLINE_MAX:
            yield f"info[{index}].headline", f"has {len(info.headline)} characters; {HEADLINE_MAX} is a useful limit"


def _webs(alert: Alert) -> Broken:
    for index, info in enumerate(alert.info):
        if info.web and not _is_absolute(info.web):
            yield f"info[{index}].web", "is not a full absolute URI"


def _resource_uris(alert: Alert) -> Broken:
    for index, info in enumerate(alert.info):
        for number, resource in enumerate(info.resource):
            if resource.uri and not resource.deref_uri and not _is_absolute(resource.uri):
                yield (
                    f"info[{index}].resource[{number}].uri",
                    "is relative, which it may be only together with derefUri",
                )


def _digests(alert: Alert) -> Broken:
    for index, info in enumerate(alert.info):
        for number, resource in enumerate(info.resource):
            if resource.digest and not _SHA1.fullmatch(resource.digest):
                yield f"info[{index}].resource[{number}].digest", "is not a SHA-1 in hex"


def _polygons(alert: Alert, units: int) -> Iterator[Finding]:
    # The smallest first, so that large ones leave something of the budget to them.
    drawn = [
        (f"info[{index}].area[{number}].polygon[{place}]", polygon)
        for index, info in enumerate(alert.info)
        for number, area in enumerate(info.area)
        for place, polygon in enumerate(area.polygon)
    ]
    budget = Budget(units)
    shapes = {path: shape_of(read_points(polygon), budget) for path, polygon in sorted(drawn, key=_length_of)}
    for shape, (level, message) in SHAPES.items():
        for path in islice((path for path, _ in drawn if shapes[path] is shape), PROBLEMS_MAX):
            yield Finding(level, path, "R11", message)


def _length_of(drawn: tuple[str, str]) -> int:
    return len(drawn[1])


SHAPES: dict[Shape, tuple[Level, str]] = {
    Shape.CROSSES: (Level.ERROR, "crosses itself; draw it as separate polygons"),
    Shape.TOUCHES: (Level.WARNING, "touches itself; draw it as separate polygons if that is not meant"),
    Shape.UNKNOWN: (Level.WARNING, "was not looked at for crossing itself, because the polygons have too many points"),
}
"""What is said of a polygon that is not simple."""


def _empty_circles(alert: Alert) -> Broken:
    for index, info in enumerate(alert.info):
        for number, area in enumerate(info.area):
            for place, circle in enumerate(area.circle):
                if float(circle.split()[1]) == 0:
                    yield f"info[{index}].area[{number}].circle[{place}]", "has the radius 0"


def _areas(alert: Alert) -> Broken:
    for index, info in enumerate(alert.info):
        if not info.area:
            yield f"info[{index}].area", "is absent; recipients are found by groups alone"
        for number, area in enumerate(info.area):
            if not area.area_desc.strip():
                yield f"info[{index}].area[{number}].areaDesc", "is empty; say which area it is"


def _agreement(alert: Alert) -> Broken:
    for index, info in enumerate(alert.info[1:], 1):
        first = alert.info[0]
        if set(info.category) != set(first.category) or set(info.event_code) != set(first.event_code):
            yield f"info[{index}]", "has another category or eventCode than the first info"


def _markup(alert: Alert) -> Broken:
    for index, info in enumerate(alert.info):
        for name in ("headline", "description", "instruction", "event"):
            if _MARKUP.search(getattr(info, name) or ""):
                yield f"info[{index}].{name}", "holds HTML, which phones show as it is written"


def _assess(alert: Alert) -> Broken:
    for index, info in enumerate(alert.info):
        if alert.scope is Scope.PUBLIC and ResponseType.ASSESS in info.response_type:
            yield f"info[{index}].responseType", "Assess should not be used in public warnings"


def _notes(alert: Alert) -> Broken:
    if not alert.note and (alert.status is Status.EXERCISE or alert.msg_type is MsgType.ERROR):
        yield "note", "should say which exercise, or which fault, it is about"


def _unknowns(alert: Alert) -> Broken:
    for index, info in enumerate(alert.info):
        for name, value in (("urgency", info.urgency), ("severity", info.severity), ("certainty", info.certainty)):
            if value in (Urgency.UNKNOWN, Severity.UNKNOWN, Certainty.UNKNOWN):
                yield f"info[{index}].{name}", "is Unknown, which puts the alert in a slower lane"


RULES: tuple[tuple[str, Level, Callable[[Alert], Broken]], ...] = (
    ("6.1", Level.ERROR, _no_info),
    ("6.2", Level.WARNING, _assess),
    ("6.2", Level.WARNING, _notes),
    ("6.2", Level.WARNING, _unknowns),
    ("R6", Level.WARNING, _later_references),
    ("R8", Level.WARNING, _expires),
    ("R9", Level.WARNING, _headlines),
    ("R9", Level.WARNING, _webs),
    ("R10", Level.ERROR, _resource_uris),
    ("R10", Level.WARNING, _digests),
    ("R12", Level.WARNING, _empty_circles),
    ("R15", Level.WARNING, _areas),
    ("R16", Level.WARNING, _agreement),
    ("R18", Level.WARNING, _markup),
)
"""The rules: id, level, and what yields (path, message) for each place that breaks it; R11 is `_polygons`."""


class UnfinishedError(Exception):
    """The polygons were not looked at, because the units given for them were too few."""


def validate(alert: Alert, units: int = GEOMETRY_UNITS) -> tuple[Finding, ...]:
    """The findings on an alert, in the order of the rules, those on polygons last; `PROBLEMS_MAX` of each rule.

    Raises `UnfinishedError` if polygons need more than `units`, and those are fewer than `GEOMETRY_UNITS`.
    """
    found = (
        Finding(level, path, rule, message)
        for rule, level, check in RULES
        for path, message in islice(check(alert), PROBLEMS_MAX)
    )
    drawn = tuple(_polygons(alert, units))
    if units < GEOMETRY_UNITS and any(finding.message == SHAPES[Shape.UNKNOWN][1] for finding in drawn):
        raise UnfinishedError
    return (*found, *drawn)


def warn_of_future(alert: Alert, now: datetime) -> tuple[Finding, ...]:
    """A warning if `sent` is later than `now` (aware) by more than `FUTURE_MAX`."""
    if alert.sent - now <= FUTURE_MAX:
        return ()
    message = (
        f"{write_instant(alert.sent)} is in the future; the alert is sent at once all the same, and no Update "
        "of an earlier `sent` replaces it. `broadcast alert publish --now` gives a file the time of this moment"
    )
    return (Finding(Level.WARNING, "sent", "R2", message),)


def require_valid(alert: Alert, units: int = GEOMETRY_UNITS) -> tuple[Finding, ...]:
    """The warnings on an alert; raises `CapError` if there is an error among the findings. `units`: see `validate`."""
    findings = validate(alert, units)
    if any(finding.level is Level.ERROR for finding in findings):
        raise CapError(findings)
    return findings


def _is_absolute(uri: str) -> bool:
    try:
        return bool(urlsplit(uri.strip()).scheme)
    except ValueError:
        return False
