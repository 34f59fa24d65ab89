"""CAP 1.2's alert, whole.

Field names in JSON are CAP's element names (OASIS CAP-v1.2, sections 3.2.1 to 3.2.4); in Python they are the same in
snake_case. `groups` is ours: target groups beside those named in `addresses`. What one value must look like stands in
`schemas/scalar.py`; what values say about each other stands here. Rules that only warn stand in `broadcast.cap`.
"""

from datetime import UTC
from decimal import Decimal
from typing import Annotated, Self
from uuid import UUID, uuid5

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from schemas.bounds import GROUPS_MAX
from schemas.enumeration import Category, Certainty, MsgType, ResponseType, Scope, Severity, Status, Urgency
from schemas.scalar import (
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
    StrippedText,
    Text,
    broken,
    check_decimal,
    check_digits,
    check_id,
    read_instant,
    split_names,
    write_instant,
)

_ALERTS = UUID("6f1c9f3e-3c0b-5a55-9b3d-0c2f6f3f7a10")


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
    size: Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(check_digits)] | None = None
    uri: OptionalText = None
    deref_uri: Base64 = None
    digest: OptionalText = None


class Area(_Element):
    """CAP area: the union of its polygons, circles and geocodes (R15). `altitude` and `ceiling` in feet."""

    area_desc: StrippedText
    polygon: tuple[Polygon, ...] = ()
    circle: tuple[Circle, ...] = ()
    geocode: tuple[ValuePair, ...] = ()
    altitude: Annotated[Decimal, Field(max_digits=12, decimal_places=6), BeforeValidator(check_decimal)] | None = None
    ceiling: Annotated[Decimal, Field(max_digits=12, decimal_places=6), BeforeValidator(check_decimal)] | None = None

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
    groups: Annotated[tuple[GroupName, ...], Field(max_length=GROUPS_MAX)] = ()

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
