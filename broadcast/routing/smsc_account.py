"""An account of an SMSC, as the routes file describes it (`examples/routes.toml`)."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from broadcast.routing.answers import OwnStatuses
from broadcast.routing.contradictions import ContradictionsError, find_contradictions
from broadcast.routing.fields import (
    Address,
    Host,
    Name,
    NumberingPlan,
    Octet,
    Port,
    Seconds,
    ServiceType,
    SystemId,
    SystemType,
    TypeOfNumber,
)
from broadcast.routing.senders import AddressType, type_of_sender
from broadcast.smpp.codec.message_ids import MessageIdRule
from broadcast.smpp.codec.receipt_text import Unclassified
from schemas.lane import Lane

Policy = Literal["resend", "hold"]


class Table(BaseModel):
    """A table of the routes file: without unknown fields, and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Tls(Table):
    """TLS to the SMSC, always with verification; `ca_file` for a CA of its own, `server_name` if not the host."""

    ca_file: Path | None = Field(default=None, description="CA of the SMSC's certificate; if not set, the system's.")
    certificate_file: Path | None = Field(default=None, description="Certificate of this client, for mutual TLS.")
    key_file: Path | None = Field(default=None, description="Private key of that certificate.")
    server_name: str | None = Field(default=None, description="Name in the SMSC's certificate, if it is not the host.")


class UnknownPolicy(Table):
    """What becomes of a submit whose answer never came, by lane: sent again, or held as `unknown`."""

    immediate: Policy = Field(
        default="resend", description="For the immediate lane: send the message again, or hold it as `unknown`."
    )
    priority: Policy = Field(
        default="resend", description="For the priority lane: send the message again, or hold it as `unknown`."
    )
    routine: Policy = Field(
        default="hold", description="For the routine lane: send the message again, or hold it as `unknown`."
    )

    def of(self, lane: Lane) -> Policy:
        """The policy of a lane."""
        policy: Policy = getattr(self, lane.value)
        return policy


class Account(Table):
    """An SMSC login with its binds.

    `rate_per_second` counts segments over all binds, and so do the limits of the account's workers together;
    `window` is the most unanswered submits of one bind. Durations in seconds.
    """

    name: Name = Field(description="Name of the account, unique in the file; receipts and metrics show it.")
    host: Host = Field(description="Host name or IP address of the SMSC.")
    port: Port = Field(description="Port of the SMSC.")
    system_id: SystemId = Field(description="Login at the SMSC.")
    password: SecretStr | None = Field(
        default=None,
        description="Password at the SMSC, at most 64 characters; SMPP 3.4 has 8, and some SMSCs refuse more. "
        "`env:NAME` takes it from the environment or the secrets.",
    )
    system_type: SystemType = Field(default="", description="SMPP system_type, if the SMSC wants one.")
    tls: Tls | None = Field(
        default=None, description="TLS to the SMSC, always with verification; if not set, plain TCP."
    )
    binds: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="Connections of each sender.")
    window: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=64, description="Most unanswered submits of one bind."
    )
    rate_per_second: Annotated[float, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="Segments per second over all binds; if not set, no limit."
    )
    weight: Annotated[float, Field(ge=0, le=1000)] = Field(
        default=1.0,
        description="Share of the route's messages beside its other accounts, while several have room. With 0 it stays "
        "bound for receipts and sends nothing.",
    )
    fallback: bool = Field(
        default=False, description="Whether it gets messages only when no other account of the route can take any."
    )
    source_addr: Address = Field(
        default="",
        description="Sender that the phone shows: at most 11 characters as a name, else digits without a plus sign. "
        "If empty, the SMSC fills it in.",
    )
    source_ton: TypeOfNumber | None = Field(
        default=None,
        description="Type of number of the sender. If not set, it follows from `source_addr`: a name 5, up to six "
        "digits 3, other digits 1 (0 if they begin with 0), an empty sender 0.",
    )
    source_npi: NumberingPlan | None = Field(
        default=None, description="Numbering plan of the sender. If not set: 1 with type 1 or 2, else 0."
    )
    dest_ton: TypeOfNumber = Field(default=1, description="Type of number of the recipient.")
    dest_npi: NumberingPlan = Field(default=1, description="Numbering plan of the recipient.")
    data_coding_gsm: Octet = Field(default=0, description="The data_coding that this SMSC reads as GSM 03.38.")
    service_type: ServiceType = Field(default="", description="SMPP service_type, if the SMSC wants one.")
    priority_flag: Annotated[int, Field(ge=0, le=3)] = Field(
        default=0, description="SMPP priority_flag of every message."
    )
    receipts: bool = Field(default=True, description="Whether to ask for delivery receipts.")
    message_id_rule: MessageIdRule = Field(
        default=MessageIdRule.AS_IS,
        description="How the message id in a receipt differs from the one in the answer to the submit.",
    )
    message_id_width: Annotated[int, Field(ge=0, le=255)] = Field(
        default=0,
        description="Compare only so many characters at the end of message ids, where receipts cut them; 0: all.",
    )
    receipts_without_esm_class: Unclassified = Field(
        default=Unclassified.EXACT,
        description="Which text makes a message a receipt although its esm_class does not say so: `exact` (the whole "
        "text has the form of a receipt), `any` (an id and a known state are enough) or `never`.",
    )
    unknown_policy: UnknownPolicy = Field(
        default=UnknownPolicy(), description="What becomes of a submit whose answer never came, by lane."
    )
    command_status: OwnStatuses = Field(
        default={},
        description="What this SMSC means by a command_status, before the table of `docs/sender.md`: "
        "`of_message`, `of_number`, `invalid_number`, `of_account`, `for_now`, `throttled`, `session` or `unknown`.",
    )
    throttle_pause_seconds: Seconds = Field(
        default=0.1, description="Pause after the SMSC refused a submit because of its rate."
    )
    connect_timeout_seconds: Seconds = Field(default=5.0, description="For connecting and binding.")
    response_timeout_seconds: Seconds = Field(default=30.0, description="For the answer to a request.")
    enquire_link_seconds: Seconds = Field(
        default=15.0, description="Time without traffic after which a link is tested."
    )
    inactivity_seconds: Seconds = Field(
        default=90.0, description="Time without any answer after which a link is closed."
    )
    backoff_seconds: Seconds = Field(default=0.5, description="First pause before connecting again.")
    backoff_limit_seconds: Seconds = Field(default=30.0, description="Longest pause before connecting again.")

    @property
    def source_type(self) -> AddressType:
        """Type of number and numbering plan of the sender."""
        return type_of_sender(self.source_addr, self.source_ton, self.source_npi)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if found := find_contradictions(self):
            raise ContradictionsError(found)
        return self
