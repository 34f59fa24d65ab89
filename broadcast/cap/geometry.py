"""Polygons on the plane of latitude and longitude."""

from collections.abc import Sequence

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
