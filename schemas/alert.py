"""CAP 1.2's alert, whole, and the alert event that carries it on `broadcast.alerts.v1`.

Field names in JSON are CAP's element names (OASIS CAP-v1.2, sections 3.2.1 to 3.2.4); in Python they are the same in
snake_case. `groups` is ours: target groups beside those named in `addresses`. What one value must look like stands in
`schemas/scalar.py`; what values say about each other stands here. Rules that only warn stand in `broadcast.cap`.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from schemas.bounds import ALERT_BYTES_MAX
from schemas.enumeration import Category, Certainty, MsgType, ResponseType, Scope, Severity, Status, Urgency
from schemas.scalar import (
    YEARS,
    Base64,
    Circle,
    GroupName,
    Id,
    Instant,
    Language,
    Mime,
    OptionalInstant,
    OptionalText,
    Polygon,
    RequiredText,
    Text,
    broken,
    check_id,
    check_year,
    read_instant,
    split_names,
    write_instant,
)
from schemas.wording import explain, quote

__all__ = [
    "ALERT_BYTES_MAX",
    "Alert",
    "AlertAction",
    "AlertEvent",
    "AlertInvalidError",
    "Area",
    "Category",
    "Certainty",
    "Info",
    "MsgType",
    "Reference",
    "Resource",
    "ResponseType",
    "Scope",
    "Severity",
    "Status",
    "Urgency",
    "ValuePair",
    "alert_id_of",
    "alert_id_of_key",
    "read_alert",
    "read_event",
    "write_alert",
    "write_event",
]

PROBLEMS_MAX = 100
"""Most faults that one error names."""

_ALERTS = UUID("6f1c9f3e-3c0b-5a55-9b3d-0c2f6f3f7a10")
_KEYS = UUID("b0a8a7f2-61f2-5f0a-8a2e-5f4a6f1f9d21")


class _Element(BaseModel):
    # Unknown fields are ignored here, so that stages of two versions run side by side; what a person or a machine
    # hands in is read by `read_alert`, which refuses them.
    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


class ValuePair(_Element):
    """An eventCode, parameter or geocode: a name and a value, both strings (R13)."""

    value_name: RequiredText
    value: Text


class Resource(_Element):
    """CAP resource: a file that goes with an info. `size` in bytes, `digest` SHA-1 in hex."""

    resource_desc: RequiredText
    mime_type: Mime
    size: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    uri: OptionalText = None
    deref_uri: Base64 = None
    digest: OptionalText = None


class Area(_Element):
    """CAP area: the union of its polygons, circles and geocodes (R15). `altitude` and `ceiling` in feet."""

    area_desc: RequiredText
    polygon: tuple[Polygon, ...] = ()
    circle: tuple[Circle, ...] = ()
    geocode: tuple[ValuePair, ...] = ()
    altitude: Annotated[Decimal, Field(max_digits=12, decimal_places=6)] | None = None
    ceiling: Annotated[Decimal, Field(max_digits=12, decimal_places=6)] | None = None

    @model_validator(mode="after")
    def _check_heights(self) -> Self:
        if self.ceiling is not None and (self.altitude is None or self.altitude > self.ceiling):
            raise broken("R14", "ceiling needs an altitude that is not above it")
        return self


class Info(_Element):
    """CAP info: one description of the event, in one language."""

    language: Language = "en-US"
    category: Annotated[tuple[Category, ...], Field(min_length=1)]
    event: RequiredText
    response_type: tuple[ResponseType, ...] = ()
    urgency: Urgency
    severity: Severity
    certainty: Certainty
    audience: OptionalText = None
    event_code: tuple[ValuePair, ...] = ()
    effective: OptionalInstant = None
    onset: OptionalInstant = None
    expires: OptionalInstant = None
    sender_name: OptionalText = None
    headline: OptionalText = None
    description: OptionalText = None
    instruction: OptionalText = None
    web: OptionalText = None
    contact: OptionalText = None
    parameter: tuple[ValuePair, ...] = ()
    resource: Annotated[tuple[Resource, ...], Field(max_length=100)] = ()
    area: Annotated[tuple[Area, ...], Field(max_length=1000)] = ()

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.effective and self.expires and self.effective > self.expires:
            raise broken("R8", "effective is later than expires")
        return self


class Reference(_Element):
    """What names one alert message: sender, identifier and sent (CAP 3.2.1, R6)."""

    sender: Id
    identifier: Id
    sent: Instant

    @property
    def alert_id(self) -> UUID:
        """The id of the alert that is named."""
        return uuid5(_ALERTS, f"{self.sender},{self.identifier},{self.sent.astimezone(UTC).isoformat()}")

    def __str__(self) -> str:
        return f"{self.sender},{self.identifier},{write_instant(self.sent)}"


class Alert(_Element):
    """A CAP 1.2 alert message, plus `groups`.

    `addresses`, `references` and `incidents` are CAP's space-delimited strings; `referred` and `addressed` are the same
    taken apart. Instants are aware datetimes; in JSON they are written as CAP writes them (R2).
    """

    identifier: Id
    sender: Id
    sent: Instant
    status: Status
    msg_type: MsgType
    source: OptionalText = None
    scope: Scope
    restriction: OptionalText = None
    addresses: OptionalText = None
    code: Annotated[tuple[Text, ...], Field(max_length=1000)] = ()
    note: OptionalText = None
    references: OptionalText = None
    incidents: OptionalText = None
    info: Annotated[tuple[Info, ...], Field(max_length=100)] = ()
    groups: Annotated[tuple[GroupName, ...], Field(max_length=1000)] = ()

    @field_validator("addresses", "incidents")
    @classmethod
    def _check_names(cls, value: str | None) -> str | None:
        if value is not None:
            split_names(value)
        return value

    @field_validator("references")
    @classmethod
    def _check_references(cls, value: str | None) -> str | None:
        if value is not None:
            read_references(value)
        return value

    @model_validator(mode="after")
    def _check_scope(self) -> Self:
        if (self.scope is Scope.RESTRICTED) != (self.restriction is not None):
            raise broken("R4", "restriction must be given with scope Restricted, and only with it")
        if self.scope is Scope.PRIVATE and not self.addresses and not self.groups:
            raise broken("R5", "scope Private needs addresses (or groups)")
        return self

    @model_validator(mode="after")
    def _check_referred(self) -> Self:
        if self.msg_type is not MsgType.ALERT and not self.references:
            raise broken("R6", f"msgType {self.msg_type} needs references (sender,identifier,sent)")
        if self.reference in self.referred:
            raise broken("R6", "references names the alert itself")
        return self

    @property
    def reference(self) -> Reference:
        """What names this message."""
        return Reference.model_construct(sender=self.sender, identifier=self.identifier, sent=self.sent)

    @property
    def referred(self) -> tuple[Reference, ...]:
        """The messages that `references` names, in their order."""
        return read_references(self.references) if self.references else ()

    @property
    def addressed(self) -> tuple[str, ...]:
        """The names in `addresses`, in their order."""
        return split_names(self.addresses) if self.addresses else ()


class AlertAction(StrEnum):
    """What is asked for an alert."""

    SUBMITTED = "submitted"
    APPROVED = "approved"
    REJECTED = "rejected"
    RETURNED = "returned"
    CANCELLED = "cancelled"


class AlertEvent(BaseModel):
    """The value of `broadcast.alerts.v1`: who asks what for which alert.

    `actor` is the name of an API key, or `kafka` for a bare alert that another client put on the topic.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    event: AlertAction
    alert_id: UUID
    alert: Alert | None = None
    at: datetime
    actor: RequiredText
    reason: OptionalText = None

    @field_validator("at")
    @classmethod
    def _check_at(cls, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise broken("R2", "at has no offset from UTC")
        return check_year(value)

    @model_validator(mode="after")
    def _check_alert(self) -> Self:
        if self.event is AlertAction.SUBMITTED and self.alert is None:
            raise broken("event", "a submitted event needs the alert")
        return self


class AlertInvalidError(ValueError):
    """An alert or alert event that cannot be read: `problems` holds (field, rule, message) of each fault."""

    def __init__(self, problems: Iterable[tuple[str, str, str]]) -> None:
        self.problems = tuple(problems)[:PROBLEMS_MAX]
        self.field, self.rule, message = self.problems[0]
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(f"{self.field or 'alert'}: {message} [{self.rule}]{more}")


def problems_of(error: ValidationError) -> list[tuple[str, str, str]]:
    """Pydantic's faults as (field, rule, message); a field is a path such as `info[0].area[1].polygon[0]`."""
    return [
        (
            "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip("."),
            fault.get("ctx", {}).get("rule") or _RULES.get(fault["type"], "6.1"),
            _message_of(fault),
        )
        for fault in error.errors(include_url=False)
    ]


_RULES = {"missing": "6.1", "enum": "6.2", "extra_forbidden": "R21"}


def _message_of(fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return "no such field; check its spelling"
    if fault["type"] == "model_type":
        return "must be an object; write its fields in braces"
    context = fault.get("ctx", {})
    message = context["reason"] if "reason" in context else "; ".join(explain(fault) or (fault["msg"],))
    value = quote(fault["input"])
    return f"{value}: {message}" if value else message


def read_references(text: str) -> tuple[Reference, ...]:
    """White-space separated `sender,identifier,sent` (R6)."""
    references = []
    for triple in text.split():
        parts = triple.split(",")
        if len(parts) != 3:
            raise broken("R6", f"{triple[:80]!r} is not 'sender,identifier,sent'")
        sender, identifier, sent = check_id(parts[0]), check_id(parts[1]), read_instant(parts[2])
        references.append(Reference.model_construct(sender=sender, identifier=identifier, sent=sent))
    return tuple(references)


def alert_id_of(alert: Alert) -> UUID:
    """The id of an alert, from what makes it the same alert: CAP sender, identifier and sent (as an instant)."""
    return alert.reference.alert_id


def alert_id_of_key(owner: str, idempotency_key: str) -> UUID:
    """The id of an alert that an API key's owner published under an `Idempotency-Key`."""
    return uuid5(_KEYS, f"{len(owner)}:{owner}{idempotency_key}")


def read_alert(value: bytes | str) -> Alert:
    """An alert from its JSON; raises `AlertInvalidError`. Fields that CAP does not know are refused."""
    return _read_alert(_read_object(value))


def write_alert(alert: Alert) -> bytes:
    """An alert as JSON with CAP's names, without what is absent."""
    return alert.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True).encode()


def write_event(event: AlertEvent) -> bytes:
    """An alert event as the value of its Kafka record."""
    return event.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True).encode()


def read_event(
    value: bytes | None,
    key: bytes | None = None,
    headers: Iterable[tuple[str, bytes | None]] = (),
    *,
    received_at: datetime | None = None,
) -> AlertEvent:
    """The alert event of a Kafka record; raises `AlertInvalidError` (for a dead letter).

    A bare alert (an object without `event`) is `submitted` by `kafka` under its derived id. Times that the record does
    not give come from the `ce_time` header, else from `received_at` (the record's timestamp), else from `sent`; so one
    record reads the same however often it is read.
    """
    content = _read_object(value or b"")
    if "event" not in content:
        alert = _read_alert(content)
        at = _time_of(headers) or received_at or alert.sent
        return AlertEvent(event=AlertAction.SUBMITTED, alert_id=alert_id_of(alert), alert=alert, at=at, actor="kafka")
    content.setdefault("actor", "kafka")
    content.setdefault("at", _time_of(headers) or received_at)
    if content.get("alert_id") is None and content["event"] == AlertAction.SUBMITTED and "alert" in content:
        try:
            content["alert_id"] = alert_id_of(Alert.model_validate(content["alert"]))
        except ValidationError as error:
            raise AlertInvalidError((f"alert.{f}".rstrip("."), r, m) for f, r, m in problems_of(error)) from None
    if content.get("alert_id") is None and key is not None:
        content["alert_id"] = key.decode(errors="replace")
    try:
        return AlertEvent.model_validate(content)
    except ValidationError as error:
        raise AlertInvalidError(problems_of(error)) from None


def _read_alert(content: dict[str, Any]) -> Alert:
    try:
        return Alert.model_validate(content, extra="forbid")
    except ValidationError as error:
        raise AlertInvalidError(problems_of(error)) from None


def _read_object(value: bytes | str) -> dict[str, Any]:
    size = len(value)
    if size > ALERT_BYTES_MAX:
        raise AlertInvalidError([("", "R22", f"has {size} bytes, more than {ALERT_BYTES_MAX}")])
    try:
        content = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise AlertInvalidError([("", "json", f"is not JSON: {error}")]) from None
    if not isinstance(content, dict):
        raise AlertInvalidError([("", "json", "must be a JSON object: an alert, or an alert event")])
    return content


def _time_of(headers: Iterable[tuple[str, bytes | None]]) -> datetime | None:
    for name, value in headers:
        if name == "ce_time" and value:
            try:
                at = datetime.fromisoformat(value.decode())
            except ValueError:
                return None
            return at if at.tzinfo and at.year in YEARS else None
    return None
