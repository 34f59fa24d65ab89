"""What the API reads on its loop: the dearest legal alerts of that size take a few milliseconds."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from broadcast.alerts.documents.document import Submitted, Targets, read_document
from broadcast.api.documents.reading_turns import INLINE_BYTES_MAX, INLINE_GEOMETRY_UNITS
from broadcast.cap import UnfinishedError
from broadcast.errors import InputError
from broadcast.settings import Settings

NOW = datetime(2030, 1, 2, 4, tzinfo=UTC)

CPU_SECONDS = 0.02
"""Four times what is measured where nothing else runs."""

INFO = {"category": ["Met"], "event": "F", "urgency": "Past", "severity": "Minor", "certainty": "Likely"}


def alert(**fields: Any) -> dict[str, Any]:
    names = {"identifier": "i", "sender": "s", "sent": "2030-01-02T03:04:05-00:00", "addresses": "g"}
    return names | {"status": "Test", "msgType": "Alert", "scope": "Public", "info": [INFO]} | fields


def info(**fields: Any) -> dict[str, Any]:
    return alert(info=[INFO | fields])


def area(**fields: Any) -> dict[str, Any]:
    return info(area=[{"areaDesc": "a"} | fields])


PAIR = {"valueName": "a", "value": "b"}
LEGAL: dict[str, Callable[[int], dict[str, Any]]] = {
    "infos": lambda n: alert(info=[INFO] * n),
    "areas": lambda n: info(area=[{"areaDesc": "a"}] * n),
    "heights": lambda n: info(area=[{"areaDesc": "a", "altitude": "1", "ceiling": "2"}] * n),
    "polygons": lambda n: area(polygon=["0,0 0,1 1,1 0,0"] * n),
    "points": lambda n: area(polygon=["0,0 0,1 1,1 1,0 " * n + "0,0"]),
    "circles": lambda n: area(circle=["1,1 1"] * n),
    "geocodes": lambda n: area(geocode=[PAIR] * n),
    "parameters": lambda n: info(parameter=[PAIR] * n),
    "resources": lambda n: info(resource=[{"resourceDesc": "a", "mimeType": "a/b"}] * n),
    "categories": lambda n: info(category=["Met"] * n),
    "codes": lambda n: alert(code=["a"] * n),
    "groups": lambda n: alert(groups=[f"{k:03}" for k in range(n)]),
    "addresses": lambda n: alert(addresses=" ".join(f"{k:03}" for k in range(n))),
    "references": lambda n: alert(
        msgType="Update", references=" ".join(f"a,{k:03},2030-01-02T03:04:06-00:00" for k in range(n))
    ),
    "words": lambda n: info(instruction="x " * n),
    "accents": lambda n: info(instruction="e\u0301" * n),
    "tags": lambda n: info(instruction="<a" * n),
}


def written(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def largest(make: Callable[[int], dict[str, Any]]) -> bytes:
    each = (len(written(make(60))) - len(written(make(10)))) / 50
    return written(make(min(1_000, int((INLINE_BYTES_MAX - len(written(make(1)))) / each))))


@pytest.mark.parametrize("make", LEGAL.values(), ids=LEGAL)
def test_the_dearest_alerts_that_are_read_on_the_loop_delay_it_little(make: Callable[[int], dict[str, Any]]) -> None:
    settings = Settings()
    body = largest(make)
    assert len(body) <= INLINE_BYTES_MAX
    taken = []
    for _ in range(5):
        began = time.thread_time()
        with suppress(UnfinishedError):
            read_document(Submitted(body, False, "anna", Targets(), NOW), settings, INLINE_GEOMETRY_UNITS)
        taken.append(time.thread_time() - began)
    assert min(taken) < CPU_SECONDS


def test_polygons_that_take_long_to_compare_are_left_to_the_other_process() -> None:
    submitted = Submitted(largest(LEGAL["points"]), False, "anna", Targets(), NOW)
    with pytest.raises(UnfinishedError):
        read_document(submitted, Settings(), INLINE_GEOMETRY_UNITS)
    assert read_document(submitted, Settings()).warnings
    plain = Submitted(written(area(polygon=["0,0 0,1 1,1 0,0"])), False, "anna", Targets(), NOW)
    assert read_document(plain, Settings(), INLINE_GEOMETRY_UNITS) == read_document(plain, Settings())


def test_a_wrong_alert_of_that_size_delays_the_loop_little_too() -> None:
    body = written(alert(info=[{}] * 100))
    began = time.thread_time()
    with pytest.raises(InputError):
        read_document(Submitted(body, False, "anna", Targets(), NOW), Settings(), INLINE_GEOMETRY_UNITS)
    assert time.thread_time() - began < 3 * CPU_SECONDS
