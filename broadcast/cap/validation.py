"""CAP's rules on a whole alert, as a table (docs/cap.md): those that the model cannot check, and warnings.

What the model itself refuses (R1 to R6, R8, R11, R12, R14 and the enumerations) never gets here.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

from broadcast.cap.findings import CapError, Finding, Level
from schemas.alert import Alert, Certainty, MsgType, ResponseType, Scope, Severity, Status, Urgency
from schemas.scalar import read_point

Point = tuple[float, float]


def intersects_itself(points: Sequence[Point]) -> bool:
    """Whether two sides of a closed polygon meet elsewhere than at the corner they share (R11).

    The last point equals the first. Sides are compared two by two, nearest in latitude first: the caller bounds the
    number of points (R22).
    """
    corners = [point for index, point in enumerate(points[:-1]) if point != points[index + 1]]
    count = len(corners)
    sides = [(corners[index], corners[(index + 1) % count], index) for index in range(count)]
    sides.sort(key=lambda side: min(side[0][0], side[1][0]))
    for position, (start, end, index) in enumerate(sides):
        highest = max(start[0], end[0])
        for other_start, other_end, other in sides[position + 1 :]:
            if min(other_start[0], other_end[0]) > highest:
                break
            if (index - other) % count in (1, count - 1):
                if _folds_back(start, end, other_start, other_end):
                    return True
            elif _meet(start, end, other_start, other_end):
                return True
    return False


def _turn(a: Point, b: Point, c: Point) -> int:
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return (area > 0) - (area < 0)


def _between(a: Point, b: Point, c: Point) -> bool:
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    cases = ((turns[0], a, b, c), (turns[1], a, b, d), (turns[2], c, d, a), (turns[3], c, d, b))
    return any(turn == 0 and _between(p, q, r) for turn, p, q, r in cases)


def _folds_back(a: Point, b: Point, c: Point, d: Point) -> bool:
    # Neighbours share one corner; they overlap if they lie on one line and run back over each other.
    shared, first, second = (b, a, d) if b == c else (a, b, c)
    if _turn(a, b, c) or _turn(a, b, d):
        return False
    return (first[0] - shared[0]) * (second[0] - shared[0]) + (first[1] - shared[1]) * (second[1] - shared[1]) > 0


HEADLINE_MAX = 160
GEOMETRY_POINTS_MAX = 500
"""Points up to which a polygon is looked at for self-intersection: 0.2 s for the worst of them."""

GEOMETRY_SIDES_MAX = 4 * GEOMETRY_POINTS_MAX**2
"""Pairs of sides that are compared in one alert, at most: 1 s for the worst of them."""

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


def _polygons(alert: Alert) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    for index, info in enumerate(alert.info):
        for number, area in enumerate(info.area):
            for place, polygon in enumerate(area.polygon):
                path = f"info[{index}].area[{number}].polygon[{place}]"
                yield path, [read_point(pair, "R11") for pair in polygon.split()]


def _small_and_large(alert: Alert) -> tuple[dict[str, list[Point]], dict[str, list[Point]]]:
    # The polygons that are looked at for self-intersection, and those that are not, by path.
    small: dict[str, list[Point]] = {}
    large: dict[str, list[Point]] = {}
    left = GEOMETRY_SIDES_MAX
    for path, points in _polygons(alert):
        looked_at = len(points) <= GEOMETRY_POINTS_MAX and len(points) ** 2 <= left
        left -= len(points) ** 2 if looked_at else 0
        (small if looked_at else large)[path] = points
    return small, large


def _self_intersections(alert: Alert) -> Broken:
    for path, points in _small_and_large(alert)[0].items():
        if intersects_itself(points):
            yield path, "crosses or touches itself; draw it as separate polygons"


def _large_polygons(alert: Alert) -> Broken:
    for path, points in _small_and_large(alert)[1].items():
        yield path, f"has {len(points)} points, too many in this alert to be looked at for self-intersection"


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
    ("R11", Level.ERROR, _self_intersections),
    ("R11", Level.WARNING, _large_polygons),
    ("R12", Level.WARNING, _empty_circles),
    ("R15", Level.WARNING, _areas),
    ("R16", Level.WARNING, _agreement),
    ("R18", Level.WARNING, _markup),
)
"""The rules: id, level, and what yields (path, message) for each place that breaks it."""


def validate(alert: Alert) -> tuple[Finding, ...]:
    """The findings on an alert, in the order of the rules."""
    return tuple(Finding(level, path, rule, message) for rule, level, check in RULES for path, message in check(alert))


def require_valid(alert: Alert) -> tuple[Finding, ...]:
    """The warnings on an alert; raises `CapError` if there is an error among the findings."""
    findings = validate(alert)
    if any(finding.level is Level.ERROR for finding in findings):
        raise CapError(findings)
    return findings


def _is_absolute(uri: str) -> bool:
    try:
        return bool(urlsplit(uri.strip()).scheme)
    except ValueError:
        return False
