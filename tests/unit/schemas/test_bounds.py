"""Every field of every record has a bound, so that no record stops a reader or fills its memory."""

from typing import Any

import msgspec
import pytest
from msgspec import inspect
from pydantic import ValidationError

from schemas.alert import AlertEvent
from schemas.bounds import YEAR_10000
from schemas.control import Control, Stop
from schemas.expansion import Expansion
from schemas.job import Job
from schemas.lane import Lane
from schemas.receipt import RawDelivery, Receipt, ReceiptState
from schemas.status import Status
from schemas.topics import Names, RouteTopics, catalogue

ALERT_ID = "6f1c9f3e-3c0b-5a55-9b3d-0c2f6f3f7a10"

BOUNDED_AS_A_WHOLE = {AlertEvent}
"""`read_event` refuses more than `ALERT_BYTES_MAX` bytes; the tests of alerts prove it."""

BOUNDED_AT_THEIR_USE = {(Status, "alert_id"), (Receipt, "error")}
"""A bound where they are decoded takes more than 2 % of a batch's decoding.

`is_alert_id` takes 36 characters only, and `merge_receipts` cuts the error to 64.
"""

KINDS = {topic.value for topic in catalogue(Names(), [RouteTopics("all", 1, (5,))]) if topic.value is not bytes} | {
    Stop
}
STRUCTS = sorted((kind for kind in KINDS if issubclass(kind, msgspec.Struct)), key=lambda kind: kind.__name__)


def unbounded(kind: inspect.Type, name: str) -> list[str]:
    """The names of fields, and of what is in them, that may be as large as a record lets them."""
    match kind:
        case inspect.IntType():
            bounded = (kind.ge is not None or kind.gt is not None) and (kind.le is not None or kind.lt is not None)
            return [] if bounded else [name]
        case inspect.StrType() | inspect.BytesType():
            return [] if kind.max_length is not None else [name]
        case inspect.VarTupleType():
            return [name] * (kind.max_length is None) + unbounded(kind.item_type, f"{name}[]")
        case inspect.UnionType():
            return [one for type_ in kind.types for one in unbounded(type_, name)]
        case inspect.StructType():
            return [one for field in kind.fields for one in unbounded(field.type, f"{name}.{field.encode_name}")]
        case inspect.EnumType() | inspect.BoolType() | inspect.NoneType():
            return []
    return [f"{name}: {type(kind).__name__} is not known to this test"]


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_each_field_of_each_record_has_a_bound(kind: type) -> None:
    excepted = {f"{one.__name__}.{name}" for one, name in BOUNDED_AT_THEIR_USE}
    assert set(unbounded(inspect.type_info(kind), kind.__name__)) == {
        name for name in excepted if name.startswith(f"{kind.__name__}.")
    }


def test_each_kind_of_record_is_looked_at() -> None:
    assert set(STRUCTS) | {Expansion} | BOUNDED_AS_A_WHOLE == KINDS


def open_ends(schema: Any, path: str) -> list[str]:
    if "anyOf" in schema:
        return [one for part in schema["anyOf"] for one in open_ends(part, path)]
    if "enum" in schema or "const" in schema or "$ref" in schema or schema.get("format") == "uuid":
        return []
    match schema.get("type"):
        case "boolean" | "null":
            return []
        case "integer":
            lower, upper = {"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}
            return [] if lower & schema.keys() and upper & schema.keys() else [path]
        case "string":
            return [] if "maxLength" in schema else [path]
        case "array":
            return [path] * ("maxItems" not in schema) + open_ends(schema["items"], f"{path}[]")
        case "object":
            keys = open_ends({"type": "string"} | schema.get("propertyNames", {}), f"{path}{{}}")
            values = open_ends(schema["additionalProperties"], f"{path}[]")
            return [path] * ("maxProperties" not in schema) + keys + values
    return [f"{path}: {schema} is not known to this test"]


def test_each_field_of_an_expansion_has_a_bound() -> None:
    fields = Expansion.model_json_schema()["properties"]
    assert [one for name, field in fields.items() for one in open_ends(field, name)] == []


GOOD: dict[type, dict[str, Any]] = {
    Job: {"alert_id": ALERT_ID, "recipient_id": 1, "msisdn": "+491500000001"},
    Status: {"alert_id": ALERT_ID, "recipient_id": 1, "attempt": 1, "outcome": "accepted"},
    Receipt: {"account": "a", "message_id": "1", "state": "delivered"},
    Control: {"alert_id": ALERT_ID, "lane": "routine", "status": "Actual", "expires_at": 1, "variants": []},
}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Job, {"variant": -1}),
        (Job, {"variant": 10**9}),
        (Job, {"segments": [256]}),
        (Job, {"segments": [1] * 256}),
        (Job, {"due_at": YEAR_10000}),
        (Job, {"text": "x" * 40_001}),
        (Job, {"refused_by": ["a"] * 1_001}),
        (Job, {"session": "a" * 65}),
        (Status, {"account": "x" * 900_000}),
        (Status, {"message_id": "1" * 513}),
        (Receipt, {"account": "x" * 900_000}),
        (Receipt, {"raw": {"reason": "x", "esm_class": 256}}),
        (Control, {"expires_at": 10**15}),
        (Control, {"expires_at": -1}),
        (Control, {"variants": [{"language": "en", "text": "x"}] * 101}),
    ],
)
def test_a_record_beyond_a_bound_cannot_be_read(kind: type, change: dict[str, Any]) -> None:
    assert msgspec.json.decode(msgspec.json.encode(GOOD[kind]), type=kind)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(GOOD[kind] | change), type=kind)


@pytest.mark.parametrize(
    "change",
    [
        {"languages": {"en": 10**30}},
        {"languages": {"en": 100}},
        {"languages": {"en": -1}},
        {"languages": {f"x{number}": 0 for number in range(201)}},
        {"default_variant": 10**9},
        {"expires_at": 10**15},
    ],
)
def test_an_expansion_beyond_a_bound_cannot_be_read(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "kind": "chunk",
        "alert_id": ALERT_ID,
        "lane": Lane.ROUTINE,
        "status": "Actual",
        "groups": ["a"],
    }
    good |= {"expires_at": 1, "languages": {"en": 0}}
    assert Expansion.model_validate(good)
    with pytest.raises(ValidationError):
        Expansion.model_validate(good | change)


def test_what_this_system_writes_is_within_the_bounds() -> None:
    """The longest that a sender writes of each kind."""
    names = tuple(f"{number:040}" for number in range(1_000))
    job = Job(ALERT_ID, 2**63 - 1, "+" + "9" * 15, 99, refused_by=names, unanswered_by=names, session="f" * 16)
    job.segments = tuple(range(1, 256))
    raw = RawDelivery("x" * 200, 255, 255, b"x" * 1_024, b"x" * 1_024, b"x" * 1_024, 65_536)
    for one in (job, Receipt("a" * 40, "9" * 310, ReceiptState.ENROUTE, raw=raw)):
        assert msgspec.json.decode(msgspec.json.encode(one), type=type(one)) == one
