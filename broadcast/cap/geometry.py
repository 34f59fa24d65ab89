"""Whether a polygon crosses or touches itself, in exact arithmetic and with a budget. Pure.

A library was measured and left out (docs/adr/0013-own-check-of-polygons.md).
"""

from collections.abc import Sequence
from enum import Enum

Point = tuple[int, int]


class Shape(Enum):
    """What the sides of a closed polygon do to each other."""

    SIMPLE = "simple"
    TOUCHES = "touches"
    CROSSES = "crosses"
    UNKNOWN = "unknown"


FAR = 1
"""What it costs to see that two sides are far from each other: a seventh of a microsecond."""

NEAR = 20
"""What it costs to compare two sides that are near each other."""


class Budget:
    """What comparing sides may still cost, in units of `FAR`."""

    def __init__(self, units: int) -> None:
        self.left = units


def read_points(polygon: str) -> list[Point]:
    """The points of a polygon (R11) as whole numbers, all in the same unit: so nothing is rounded."""
    pairs = [pair.split(",") for pair in polygon.split()]
    decimals = max(len(number.partition(".")[2]) for pair in pairs for number in pair)
    return [(_whole(pair[0], decimals), _whole(pair[1], decimals)) for pair in pairs]


def _whole(number: str, decimals: int) -> int:
    whole, _, fraction = number.partition(".")
    return int(whole + fraction.ljust(decimals, "0"))


def shape_of(points: Sequence[Point], budget: Budget) -> Shape:
    """Whether two sides cross, or meet elsewhere than at the corner they share; the last point equals the first.

    Sides are compared that overlap in latitude, nearest first. `UNKNOWN` if the budget ends before that is known.
    """
    corners = [point for index, point in enumerate(points[:-1]) if point != points[index + 1]]
    count = len(corners)
    sides = []
    for index, (a, b) in enumerate(zip(corners, [*corners[1:], *corners[:1]], strict=True)):
        south, north = (a[0], b[0]) if a[0] < b[0] else (b[0], a[0])
        west, east = (a[1], b[1]) if a[1] < b[1] else (b[1], a[1])
        sides.append((south, north, west, east, index, a, b))
    sides.sort()
    touches = False
    for position, (_, north, west, east, index, a, b) in enumerate(sides):
        for other in range(position + 1, count):
            south, _, other_west, other_east, other_index, c, d = sides[other]
            if south > north:
                break
            budget.left -= FAR
            if budget.left < 0:
                return Shape.UNKNOWN
            if other_west > east or other_east < west:
                continue
            budget.left -= NEAR
            if (index - other_index) % count in (1, count - 1):
                touches = touches or (count > 2 and _folds_back(a, b, c, d))
                continue
            turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
            if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
                return Shape.CROSSES
            touches = touches or _meet(turns, a, b, c, d)
    return Shape.TOUCHES if touches else Shape.SIMPLE


def _turn(a: Point, b: Point, c: Point) -> int:
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return (area > 0) - (area < 0)


def _between(a: Point, b: Point, c: Point) -> bool:
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])


def _meet(turns: tuple[int, int, int, int], a: Point, b: Point, c: Point, d: Point) -> bool:
    cases = ((turns[0], a, b, c), (turns[1], a, b, d), (turns[2], c, d, a), (turns[3], c, d, b))
    return any(turn == 0 and _between(p, q, r) for turn, p, q, r in cases)


def _folds_back(a: Point, b: Point, c: Point, d: Point) -> bool:
    # Neighbours share one corner; they overlap if they lie on one line and run back over each other.
    shared, first, second = (b, a, d) if b == c else (a, b, c)
    if _turn(a, b, c) or _turn(a, b, d):
        return False
    return (first[0] - shared[0]) * (second[0] - shared[0]) + (first[1] - shared[1]) * (second[1] - shared[1]) > 0
