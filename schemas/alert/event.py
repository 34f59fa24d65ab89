"""The alert event on `broadcast.alerts.v1`: who asks what for which alert; reading and writing it."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from schemas.alert.cap_alert import Alert, alert_id_of
from schemas.alert.invalid import AlertInvalidError, problems_of
from schemas.bounds import ALERT_BYTES_MAX, VALUES_MAX
from schemas.json_text import JsonError, TooManyValuesError, read_json
from schemas.scalar import (
    YEARS,
    OptionalText,
    RequiredText,
    broken,
    check_year,
)

_KEYS = UUID("b0a8a7f2-61f2-5f0a-8a2e-5f4a6f1f9d21")


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
        if self.event is AlertAction.SUBMITTED and self.alert is not None:
            # Under the id of another alert it would be taken for that one; under its own that one could never come.
            own = alert_id_of(self.alert)
            if self.alert_id != own:
                raise broken("event", f"alert_id is {self.alert_id}, and this alert's is {own}: leave alert_id out")
        return self


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
        content = read_json(value, texts_are_checked=True, values_max=VALUES_MAX)
    except TooManyValuesError as error:
        raise AlertInvalidError([("", "R22", str(error))]) from None
    except JsonError as error:
        raise AlertInvalidError([("", "json", str(error))]) from None
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
