"""Routes and their accounts, as the routes file describes them (`examples/routes.toml`)."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator, model_validator

from broadcast.smpp.codec.receipts import MessageIdRule
from schemas.lane import Lane

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Policy = Literal["resend", "hold"]
Seconds = Annotated[float, Field(gt=0)]

TON_ALPHANUMERIC = 5
"""Type of number of a sender that is a name (SMPP 3.4, section 5.2.5)."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tls(_Model):
    """TLS to the SMSC, always with verification; `ca_file` for a CA of its own, `server_name` if not the host."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None


class UnknownPolicy(_Model):
    """What becomes of a submit whose answer never came, by lane: sent again, or held as `unknown`."""

    immediate: Policy = "resend"
    priority: Policy = "resend"
    routine: Policy = "hold"

    def of(self, lane: Lane) -> Policy:
        """The policy of a lane."""
        policy: Policy = getattr(self, lane.value)
        return policy


class Account(_Model):
    """An SMSC login with its binds.

    `rate_per_second` counts segments over all binds, and so do the limits of the account's workers together;
    `window` is the most unanswered submits of one bind. Durations in seconds.
    """

    name: Name
    host: Annotated[str, StringConstraints(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)]
    system_id: Annotated[str, StringConstraints(max_length=15)]
    password: SecretStr = SecretStr("")
    system_type: Annotated[str, StringConstraints(max_length=12)] = ""
    tls: Tls | None = None
    binds: Annotated[int, Field(ge=1, le=64)] = 1
    window: Annotated[int, Field(ge=1, le=10_000)] = 64
    rate_per_second: Annotated[float, Field(gt=0)] | None = None
    source_addr: Annotated[str, StringConstraints(max_length=20)] = ""
    source_ton: Annotated[int, Field(ge=0, le=6)] = TON_ALPHANUMERIC
    source_npi: Annotated[int, Field(ge=0, le=18)] = 0
    dest_ton: Annotated[int, Field(ge=0, le=6)] = 1
    dest_npi: Annotated[int, Field(ge=0, le=18)] = 1
    data_coding_gsm: Annotated[int, Field(ge=0, le=255)] = 0
    service_type: Annotated[str, StringConstraints(max_length=5)] = ""
    priority_flag: Annotated[int, Field(ge=0, le=3)] = 0
    receipts: bool = True
    message_id_rule: MessageIdRule = MessageIdRule.AS_IS
    unknown_policy: UnknownPolicy = UnknownPolicy()
    throttle_pause_seconds: Seconds = 0.1
    connect_timeout_seconds: Seconds = 5.0
    response_timeout_seconds: Seconds = 30.0
    enquire_link_seconds: Seconds = 15.0
    inactivity_seconds: Seconds = 90.0
    backoff_seconds: Seconds = 0.5
    backoff_limit_seconds: Seconds = 30.0

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if not self.source_addr.isascii():
            raise ValueError("source_addr must be ASCII")
        if self.source_ton == TON_ALPHANUMERIC and len(self.source_addr) > 11:
            raise ValueError(
                "source_addr has more than 11 characters, the most of a name; shorten it or set source_ton"
            )
        if self.source_ton != TON_ALPHANUMERIC and self.source_addr and not self.source_addr.isdigit():
            raise ValueError("source_addr must be digits unless source_ton is 5 (a name)")
        return self


class Route(_Model):
    """Numbers with one of `prefixes` go through one of `accounts`.

    A prefix is written as E.164 with its plus sign; `+` alone takes every number. `partitions` holds for all topics of
    the route and for life. `delays_seconds` are the steps of a retry, ascending. A route is simulated unless `live`.
    """

    name: Name
    prefixes: Annotated[tuple[Annotated[str, StringConstraints(pattern=r"^\+[0-9]{0,15}$")], ...], Field(min_length=1)]
    live: bool = False
    partitions: Annotated[int, Field(ge=1, le=1000)] = 4
    delays_seconds: Annotated[tuple[Annotated[int, Field(ge=1, le=86_400)], ...], Field(min_length=1)] = (5, 30, 120)
    accounts: Annotated[tuple[Account, ...], Field(min_length=1)]

    @field_validator("delays_seconds")
    @classmethod
    def _check_delays(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("must ascend, each delay once")
        return value
