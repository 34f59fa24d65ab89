"""CAP 1.2's alert, whole.

Field names in JSON are CAP's element names (OASIS CAP-v1.2, sections 3.2.1 to 3.2.4); in Python they are the same in
snake_case. `groups` is ours: target groups beside those named in `addresses`. What one value must look like stands in
`schemas/scalar.py`; what values say about each other stands here. Rules that only warn stand in `broadcast.cap`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID, uuid5

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from schemas.bounds import GEOCODES_MAX, GROUPS_MAX, INFOS_MAX, LIST_LENGTH_MAX, RESOURCES_MAX
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

UNKNOWN_FIELDS_MAX = 8
"""Most fields of an object beyond as many as CAP has there; each of them may be a fault."""

T = TypeVar("T")
Few = Annotated[tuple[T, ...], FailFast(), Field(max_length=RESOURCES_MAX)]
Many = Annotated[tuple[T, ...], FailFast(), Field(max_length=LIST_LENGTH_MAX)]
"""Of a list only the first member that is wrong is named: so a long list costs no more than a short one."""


class _Element(BaseModel):
    # Unknown fields are ignored here, so that stages of two versions run side by side; what a person or a machine
    # hands in is read by `read_alert`, which refuses them.
    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )

    @model_validator(mode="before")
    @classmethod
    def _check_fields(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and len(value) > (most := len(cls.model_fields) + UNKNOWN_FIELDS_MAX):
            raise broken("R22", f"has {len(value)} fields, more than {most}; remove those that CAP does not have")
        return value


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
    polygon: Many[Polygon] = ()
    circle: Many[Circle] = ()
    geocode: Annotated[tuple[ValuePair, ...], FailFast(), Field(max_length=GEOCODES_MAX)] = ()
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
    category: Annotated[Many[Category], Field(min_length=1)]
    event: RequiredText
    response_type: Many[ResponseType] = ()
    urgency: Urgency
    severity: Severity
    certainty: Certainty
    audience: OptionalText = None
    event_code: Many[ValuePair] = ()
    effective: OptionalInstant = None
    onset: OptionalInstant = None
    expires: OptionalInstant = None
    sender_name: OptionalText = None
    headline: OptionalText = None
    description: OptionalText = None
    instruction: OptionalText = None
    web: OptionalText = None
    contact: OptionalText = None
    parameter: Many[ValuePair] = ()
    resource: Few[Resource] = ()
    area: Many[Area] = ()

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.effective and self.expires and self.effective > self.expires:
            raise broken("R8", "effective is later than expires")
        return self


def _check_infos(value: Any) -> Any:
    # Each info is looked at, as a person corrects one language after the other: so they are counted before.
    if isinstance(value, list | tuple) and len(value) > INFOS_MAX:
        raise broken("6.1", f"has {len(value)} infos, more than {INFOS_MAX}; publish several alerts")
    return value


@dataclass(frozen=True, slots=True)
class Reference:
    """What names one alert message: sender, identifier and sent (CAP 3.2.1, R6)."""

    sender: str
    identifier: str
    sent: datetime

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
    code: Many[Text] = ()
    note: OptionalText = None
    references: OptionalText = None
    incidents: OptionalText = None
    info: Annotated[tuple[Info, ...], BeforeValidator(_check_infos)] = ()
    groups: Annotated[tuple[GroupName, ...], FailFast(), Field(max_length=GROUPS_MAX)] = ()

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
        return Reference(self.sender, self.identifier, self.sent)

    @property
    def referred(self) -> tuple[Reference, ...]:
        """The messages that `references` names, in their order."""
        return read_references(self.references) if self.references else ()

    @property
    def addressed(self) -> tuple[str, ...]:
        """The names in `addresses`, in their order."""
        return split_names(self.addresses) if self.addresses else ()


@lru_cache(maxsize=2)
def read_references(text: str) -> tuple[Reference, ...]:
    """White-space separated `sender,identifier,sent` (R6), at most `LIST_LENGTH_MAX`."""
    # The latest texts are remembered: one alert is asked for its references several times.
    triples = text.split(None, LIST_LENGTH_MAX)
    if len(triples) > LIST_LENGTH_MAX:
        raise broken("R22", f"has more than {LIST_LENGTH_MAX} references; name the latest")
    references = []
    for triple in triples:
        parts = triple.split(",", 3)
        if len(parts) != 3:
            raise broken("R6", f"{triple[:80]!r} is not 'sender,identifier,sent'")
        sender, identifier, sent = check_id(parts[0]), check_id(parts[1]), read_instant(parts[2])
        references.append(Reference(sender, identifier, sent))
    return tuple(references)


def alert_id_of(alert: Alert) -> UUID:
    """The id of an alert, from what makes it the same alert: CAP sender, identifier and sent (as an instant)."""
    return alert.reference.alert_id
