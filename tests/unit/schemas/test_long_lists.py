"""Alerts with a hundred thousand members of something: refused at once, and within little memory."""

import json
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from schemas.alert import (
    ALERT_BYTES_MAX,
    PROBLEMS_MAX,
    Alert,
    AlertInvalidError,
    Area,
    Info,
    Resource,
    ValuePair,
    read_alert,
    read_event,
)
from tests.unit.schemas.test_alert import NOW, alert_json, info_json

MEMBERS = 100_000
CPU_SECONDS = 0.2
MEMORY_TIMES = 10

PAIR = {"valueName": "a", "value": "b"}
AREA = {"areaDesc": "Valley"}
RESOURCE = {"resourceDesc": "Map", "mimeType": "image/png"}

PLACES: dict[type[BaseModel], Callable[[dict[str, Any]], dict[str, Any]]] = {
    Alert: lambda fields: alert_json(**fields),
    Info: lambda fields: alert_json(info=[info_json(**fields)]),
    Area: lambda fields: alert_json(info=[info_json(area=[AREA | fields])]),
    Resource: lambda fields: alert_json(info=[info_json(resource=[RESOURCE | fields])]),
    ValuePair: lambda fields: alert_json(info=[info_json(parameter=[PAIR | fields])]),
}
"""An alert in which one element has these fields too."""

LEGAL: dict[str, Any] = {
    "info": info_json(),
    "area": AREA,
    "resource": RESOURCE,
    "parameter": PAIR,
    "eventCode": PAIR,
    "geocode": PAIR,
    "category": "Met",
    "responseType": "None",
    "polygon": "0,0 0,1 1,1 0,0",
    "circle": "1,1 1",
    "code": "a",
    "groups": "g",
}
TEXTS = {
    "addresses": "a ",
    "incidents": "a ",
    "references": "a,b,2026-01-01T00:00:00-00:00 ",
}


def list_fields() -> list[tuple[type[BaseModel], str]]:
    return [
        (model, field.alias or name)
        for model in PLACES
        for name, field in model.model_fields.items()
        if "tuple[" in str(field.annotation)
    ]


def shortened(members: list[Any]) -> list[Any]:
    """As many as fit an alert."""
    return members[: int(0.95 * ALERT_BYTES_MAX / (len(json.dumps(members[0])) + 2))]


Place = Callable[[dict[str, Any]], dict[str, Any]]


def of_members(place: Place, name: str, member: Any) -> dict[str, Any]:
    return place({name: shortened([member] * MEMBERS)})


def of_unknown(place: Place) -> dict[str, Any]:
    return place({f"{n:x}": 1 for n in range(40_000)})


def of_text(place: Place, name: str, piece: str, *, listed: bool = False) -> dict[str, Any]:
    text = piece * ((ALERT_BYTES_MAX - 2_000) // len(json.dumps(piece)[1:-1]))
    return place({name: [text] if listed else text})


def of_wrong_areas() -> dict[str, Any]:
    return alert_json(info=[info_json(area=[{}] * 480)] * 100)


def of_wrong_infos() -> dict[str, Any]:
    wrong: dict[str, Any] = {name: [{}] for name in ("area", "resource", "parameter", "eventCode")}
    return alert_json(info=[wrong | {f"x{n}": 1 for n in range(7)}] * 100)


def of_unknown_in_infos() -> dict[str, Any]:
    return alert_json(info=[{f"x{n}": 1 for n in range(300)}] * 100)


def of_event(members: int) -> dict[str, Any]:
    return {"event": "submitted", "alert": alert_json(info=[{}] * members)}


def documents() -> list[Any]:
    made: dict[str, Callable[[], dict[str, Any]]] = {
        "wrong areas in each info": of_wrong_areas,
        "faults in each info": of_wrong_infos,
        "unknown fields in each info": of_unknown_in_infos,
        "event": partial(of_event, MEMBERS),
        "event with fewer": partial(of_event, 20_000),
        "unknown fields of an event": partial(of_unknown, lambda fields: {"event": "gone"} | fields),
    }
    for model, name in list_fields():
        for member in ({}, 1, {"a": 1}, LEGAL[name]):
            title = f"{model.__name__}.{name} of {json.dumps(member)[:12]}"
            made[title] = partial(of_members, PLACES[model], name, member)
    for model, place in PLACES.items():
        made[f"unknown fields of {model.__name__}"] = partial(of_unknown, place)
    for name, piece in TEXTS.items():
        for each in (piece, '"'):
            made[f"{name} of {each}"] = partial(of_text, PLACES[Alert], name, each)
    for name in ("polygon", "circle"):
        for each in ("0,0 ", "a ", "0"):
            made[f"{name} of {each}"] = partial(of_text, PLACES[Area], name, each, listed=True)
    return [pytest.param(make, id=title) for title, make in made.items()]


def test_the_table_has_every_list_of_an_alert() -> None:
    assert {name for _, name in list_fields()} == set(LEGAL)


@pytest.mark.parametrize("make", documents())
def test_what_is_too_much_is_refused_at_once(make: Callable[[], dict[str, Any]]) -> None:
    value = json.dumps(make(), separators=(",", ":")).encode()
    assert len(value) <= ALERT_BYTES_MAX
    started = time.thread_time()
    with pytest.raises(AlertInvalidError) as caught:
        read_event(value, received_at=NOW)
    taken = time.thread_time() - started
    assert len(caught.value.problems) <= PROBLEMS_MAX
    tracemalloc.start()
    try:
        with pytest.raises(AlertInvalidError):
            read_event(value, received_at=NOW)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < CPU_SECONDS
    assert peak < MEMORY_TIMES * max(len(value), 2 * MEMBERS)


@pytest.mark.parametrize("text", ['"' + '\\"' * 250_000, '{"a":"' + "\\" * 500_000, '["' * 170_000, "[" * 500_000])
def test_a_text_that_is_not_closed_is_looked_at_only_once(text: str) -> None:
    started = time.thread_time()
    with pytest.raises(AlertInvalidError):
        read_alert(text)
    assert time.thread_time() - started < CPU_SECONDS


def test_commas_and_braces_in_texts_are_no_values() -> None:
    note = '[{,"\\' * 40_000
    assert read_alert(json.dumps(alert_json(note=note))).note == note


def test_every_info_names_its_own_faults() -> None:
    infos = [info_json(urgency="soon"), info_json(severity="bad", area=[{}])]
    with pytest.raises(AlertInvalidError) as caught:
        read_alert(json.dumps(alert_json(info=infos)))
    fields = [field for field, _, _ in caught.value.problems]
    assert fields == ["info[0].urgency", "info[1].severity", "info[1].area[0].areaDesc"]
