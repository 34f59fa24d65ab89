"""Polygons that cross or touch themselves: found exactly, and within a budget."""

import json
import math
from collections.abc import Sequence
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.cap.geometry import Budget, Shape, read_points, shape_of
from broadcast.cap.validation import GEOMETRY_UNITS, validate
from schemas.alert import read_alert

UNITS = 10**6


def shape(*points: tuple[int, int]) -> Shape:
    return shape_of([*points, points[0]], Budget(UNITS))


def written(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{latitude:.5f},{longitude:.5f}" for latitude, longitude in [*points, points[0]])


def coast(count: int) -> str:
    """A ring with bays and capes, as coasts have."""
    turns = [2 * math.pi * step / count for step in range(count)]
    radii = [5 + math.sin(37 * turn) + math.sin(311 * turn) / 4 for turn in turns]
    places = zip(turns, radii, strict=True)
    return written([(20 + radius * math.sin(turn), 10 + radius * math.cos(turn)) for turn, radius in places])


def comb(count: int) -> str:
    """Teeth that lie aslant beside each other: each pair of them is near."""
    teeth = [(50 * ((step + 1) // 2 % 2) + step / 10_000, 10.0 + 50 * ((step + 1) // 2 % 2)) for step in range(count)]
    return written([*teeth, (89.0, 0.0)])


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(0, 0), (0, 1), (1, 1), (1, 0)], Shape.SIMPLE),
        ([(0, 0), (1, 1), (1, 0), (0, 1)], Shape.CROSSES),
        ([(0, 0), (0, 2), (2, 2), (1, 1)], Shape.SIMPLE),
        ([(0, 0), (0, 2), (2, 2), (0, 1)], Shape.TOUCHES),
        ([(0, 0), (0, 2), (0, 1), (1, 1)], Shape.TOUCHES),
        ([(0, 0), (0, 1), (0, 2), (1, 1)], Shape.SIMPLE),
        ([(0, 0), (0, 0), (0, 1), (1, 1)], Shape.SIMPLE),
        ([(0, 0), (2, 0), (2, 2), (1, 0), (0, 2)], Shape.TOUCHES),
        ([(0, 0), (0, 1), (1, 0)], Shape.SIMPLE),
        ([(0, 0), (0, 1), (0, 2)], Shape.TOUCHES),
        ([(0, 0), (0, 2), (2, 2), (2, 0), (1, 0), (1, 1), (1, 0)], Shape.TOUCHES),
        ([(0, 0), (0, 2), (2, 2), (2, 3), (3, 3), (3, 2), (2, 2), (2, 0)], Shape.TOUCHES),
        ([(0, 0)], Shape.SIMPLE),
    ],
)
def test_only_a_proper_crossing_is_one(points: list[tuple[int, int]], expected: Shape) -> None:
    for turn in range(len(points)):
        turned = points[turn:] + points[:turn]
        assert shape(*turned) is expected
        assert shape(*reversed(turned)) is expected


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 9))
def test_points_on_one_line_are_on_it_however_they_are_written(run: int, rise: int, parts: int) -> None:
    # In floating point three such points turn by rounding alone.
    line = [f"{step * run / 10**7:.7f},{step * rise / 10**7:.7f}" for step in range(parts + 1)]
    points = read_points(" ".join([*line, f"{line[-1].split(',')[0]},0", line[0]]))
    assert points[0] == (0, 0)
    assert shape_of(points, Budget(UNITS)) is Shape.SIMPLE


def test_numbers_may_be_written_in_every_way() -> None:
    assert read_points("+1.5,-.25 1,2. -0.5,3") == [(150, -25), (100, 200), (-50, 300)]


@given(st.lists(st.integers(1, 50), min_size=3, max_size=30))
def test_a_star_around_a_point_never_crosses_itself(radii: list[int]) -> None:
    # Corners on the rays of a fan below 180 degrees, closed through the centre.
    corners = [(radius * (1 + step), radius * (60 - step)) for step, radius in enumerate(radii)]
    assert shape((0, 0), *corners) is Shape.SIMPLE


def test_a_coast_of_ten_thousand_points_is_looked_at() -> None:
    budget = Budget(GEOMETRY_UNITS)
    assert shape_of(read_points(coast(9_999)), budget) is Shape.SIMPLE
    assert budget.left > GEOMETRY_UNITS // 2


def test_the_polygons_of_an_alert_share_a_budget_and_small_ones_are_looked_at_first() -> None:
    content = {
        "identifier": "i",
        "sender": "s",
        "sent": "2030-01-01T00:00:00-00:00",
        "status": "Test",
        "msgType": "Alert",
        "scope": "Public",
        "info": [
            {
                "category": ["Met"],
                "event": "Flood",
                "urgency": "Immediate",
                "severity": "Severe",
                "certainty": "Observed",
                "expires": "2030-01-01T01:00:00-00:00",
                "area": [{"areaDesc": "a", "polygon": [*[comb(996)] * 20, "0,0 1,1 1,0 0,1 0,0"]}],
            }
        ],
    }
    alert = read_alert(json.dumps(content))
    began = thread_time()
    found = {finding.path: finding for finding in validate(alert)}
    assert thread_time() - began < 5
    assert found["info[0].area[0].polygon[20]"].level == "error"
    assert "was not looked at" in found["info[0].area[0].polygon[19]"].message
