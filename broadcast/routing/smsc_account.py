"""An account of an SMSC, as the routes file describes it (`examples/routes.toml`)."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StrictBool, model_validator

from broadcast.routing.answers import OwnPauses, OwnStatuses, ResendUnanswered
from broadcast.routing.contradictions import ContradictionsError, find_contradictions
from broadcast.routing.fields import (
    PRIORITY_LIMIT,
    Address,
    AddressRange,
    BindCount,
    Host,
    InterfaceVersion,
    LongMessages,
    Name,
    NumberingPlan,
    Octet,
    Port,
    PriorityFlag,
    Seconds,
    ServiceType,
    SystemId,
    SystemType,
    TypeOfNumber,
    Validity,
    ValidityLimit,
    refuse,
)
from broadcast.routing.senders import AddressType, type_of_sender
from broadcast.smpp.account import BindModes
from broadcast.smpp.codec.message_ids import MessageIdRule
from broadcast.smpp.codec.receipt_text import Unclassified
from schemas.lane import Lane


class Table(BaseModel):
    """A table of the routes file: without unknown fields, and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Tls(Table):
    """TLS to the SMSC, always with verification. Files with a relative path are seen from the routes file."""

    ca_file: Path | None = Field(default=None, description="CA of the SMSC's certificate; if not set, the system's.")
    certificate_file: Path | None = Field(default=None, description="Certificate of this client, for mutual TLS.")
    key_file: Path | None = Field(default=None, description="Private key of that certificate.")
    server_name: Host | None = Field(default=None, description="Name in the SMSC's certificate, if it is not the host.")


class PriorityFlags(Table):
    """The SMPP priority_flag of messages, by lane; one number is for all lanes."""

    immediate: PriorityFlag = Field(default=0, description="For the immediate lane.")
    priority: PriorityFlag = Field(default=0, description="For the priority lane.")
    routine: PriorityFlag = Field(default=0, description="For the routine lane.")

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, given: Any) -> Any:
        if isinstance(given, int) and not 0 <= given <= PRIORITY_LIMIT:
            raise refuse(f"must be 0 to {PRIORITY_LIMIT}", "write one of these, or a table of lanes")
        return dict.fromkeys(map(str, Lane), given) if isinstance(given, int) else given

    def of(self, lane: Lane) -> int:
        """The flag of a lane."""
        flag: int = getattr(self, lane.value)
        return flag


class Flash(Table):
    """Which messages a phone shows and does not keep (class 0), by lane; one value is for all."""

    immediate: StrictBool = Field(default=False, description="For the immediate lane.")
    priority: StrictBool = Field(default=False, description="For the priority lane.")
    routine: StrictBool = Field(default=False, description="For the routine lane.")

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, given: Any) -> Any:
        return dict.fromkeys(map(str, Lane), given) if isinstance(given, bool) else given

    def of(self, lane: Lane) -> bool:
        """Whether messages of a lane are flash."""
        flash: bool = getattr(self, lane.value)
        return flash


class Account(Table):
    """An SMSC login with its binds.

    `rate_per_second` counts segments over all binds, and so do the limits of the account's workers together;
    `window` is the most unanswered submits of one bind. Durations in seconds.
    """

    name: Name = Field(description="Name of the account, unique in the file; receipts and metrics show it.")
    operator: Name | None = Field(
        default=None,
        description="Operator of the network; outcomes of its accounts are watched together. If not set, the account's "
        "name.",
    )
    host: Host = Field(description="Host name or IP address of the SMSC.")
    port: Port = Field(description="Port of the SMSC.")
    system_id: SystemId = Field(description="Login at the SMSC.")
    password: SecretStr | None = Field(
        default=None,
        description="Password at the SMSC, at most 64 characters; SMPP 3.4 has 8, and some SMSCs refuse more. "
        "`env:NAME` takes it from the environment or the secrets.",
    )
    simulated: StrictBool = Field(
        default=False,
        description="Whether a simulator is behind this account, so that no phone is reached. An account that is not "
        "declared so does not work with Tocsin's simulator. All accounts of a route say the same.",
    )
    system_type: SystemType = Field(default="", description="SMPP system_type, if the SMSC wants one.")
    interface_version: InterfaceVersion = Field(
        default=InterfaceVersion.V3_4, description="SMPP version that the bind names; 3.3 has no optional parameters."
    )
    addr_ton: TypeOfNumber = Field(default=0, description="SMPP addr_ton of the bind.")
    addr_npi: NumberingPlan = Field(default=0, description="SMPP addr_npi of the bind.")
    address_range: AddressRange = Field(
        default="", description="SMPP address_range of the bind: the numbers whose messages this login receives."
    )
    tls: Tls | None = Field(
        default=None, description="TLS to the SMSC, always with verification; if not set, plain TCP."
    )
    bind_mode: BindModes = Field(
        default=BindModes.TRANSCEIVER,
        description="`transceiver` (each bind submits and receives) or `transmitter_receiver` (some binds submit, "
        "others receive).",
    )
    binds: BindCount = Field(default=1, description="Connections of each sender; transceivers.")
    transmitters: BindCount = Field(
        default=1, description="Connections of each sender that submit, with `transmitter_receiver`."
    )
    receivers: BindCount = Field(
        default=1, description="Connections of each sender that receive, with `transmitter_receiver`."
    )
    window: Annotated[int, Field(strict=True, ge=1, le=10_000)] = Field(
        default=64, description="Most unanswered submits of one bind."
    )
    rate_per_second: Annotated[float, Field(strict=True, ge=1, le=100_000)] | None = Field(
        default=None, description="Segments per second over all binds; if not set, no limit."
    )
    weight: Annotated[float, Field(strict=True, ge=0, le=1000)] = Field(
        default=1.0,
        description="Share of the route's messages beside its other accounts, while several have room. With 0 it stays "
        "bound for receipts and sends nothing.",
    )
    fallback: StrictBool = Field(
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
    data_coding_ucs2: Octet = Field(default=8, description="The data_coding that this SMSC reads as UCS-2.")
    flash: Flash = Field(
        default=Flash(),
        description="Whether phones show a message at once and do not keep it, by lane; `true` is for all lanes.",
    )
    data_coding_gsm_flash: Octet = Field(default=0x10, description="The data_coding of a flash message in GSM 03.38.")
    data_coding_ucs2_flash: Octet = Field(default=0x18, description="The data_coding of a flash message in UCS-2.")
    long_messages: LongMessages = Field(
        default=LongMessages.UDH,
        description="How a text of several segments goes: `udh` (a header with a 16-bit reference in each), `udh8` "
        "(with an 8-bit reference), `sar` (the sar_ parameters) or `payload` (whole, as message_payload).",
    )
    validity: Validity = Field(
        default=Validity.RELATIVE,
        description="How the SMSC is told when the alert expires: `relative` (time left), `absolute` (an instant in "
        "UTC) or `off` (not told: the SMSC may deliver an old alert).",
    )
    validity_limit_seconds: ValidityLimit | None = Field(
        default=None, description="Longest validity period that this SMSC takes; if not set, up to the alert's expiry."
    )
    service_type: ServiceType = Field(default="", description="SMPP service_type, if the SMSC wants one.")
    priority_flag: PriorityFlags = Field(
        default=PriorityFlags(), description="SMPP priority_flag, by lane; one number is for all lanes."
    )
    replace_if_present: StrictBool = Field(
        default=False,
        description="Whether a message replaces what the SMSC still holds for the phone from this sender, also another "
        'alert. Needs `long_messages = "payload"`.',
    )
    user_message_reference: StrictBool = Field(
        default=False,
        description="Whether each submit has a user_message_reference, the same on every copy of a message.",
    )
    receipts: StrictBool = Field(default=True, description="Whether to ask for delivery receipts.")
    receipt_covers: Literal["part", "message"] = Field(
        default="part",
        description="What a receipt for one part of a long message speaks for: that `part`, or the whole `message`, "
        "where the SMSC sends one receipt for all parts.",
    )
    message_id_rule: MessageIdRule = Field(
        default=MessageIdRule.AS_IS,
        description="How the message id in a receipt differs from the one in the answer to the submit.",
    )
    message_id_width: Annotated[int, Field(strict=True, ge=0, le=255)] = Field(
        default=0,
        description="Compare only so many characters at the end of message ids, where receipts cut them; 0: all.",
    )
    receipts_without_esm_class: Unclassified = Field(
        default=Unclassified.EXACT,
        description="Which text makes a message a receipt although its esm_class does not say so: `exact` (the whole "
        "text has the form of a receipt), `any` (an id and a known state are enough) or `never`.",
    )
    resend_unanswered: ResendUnanswered = Field(
        default=ResendUnanswered(), description="How often a message that nothing answered is sent again, by lane."
    )
    command_status: OwnStatuses = Field(
        default={},
        description="What this SMSC means by a command_status, before the table of `docs/sender.md`: "
        "`of_message`, `number_for_now`, `number_for_good`, `of_account`, `for_now`, `throttled`, `session` or "
        "`unknown`.",
    )
    pause_seconds: OwnPauses = Field(
        default={},
        description="Least pause after a command_status before a message goes again by this account: the next of "
        "`delays_seconds` that is as long, where the attempt would go sooner.",
    )
    congestion_state: StrictBool = Field(
        default=True,
        description="Whether the rate follows the congestion_state that an SMSC with SMPP 5.0 adds to its answers.",
    )
    throttle_pause_seconds: Seconds = Field(
        default=0.1, description="Pause after the SMSC refused a submit because of its rate."
    )
    connect_timeout_seconds: Seconds = Field(default=5.0, description="For connecting, with TLS.")
    session_init_seconds: Seconds = Field(default=10.0, description="For the answer to a bind.")
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
    def operator_name(self) -> str:
        """The operator, or else the account's own name."""
        return self.operator or self.name

    @property
    def submitting_binds(self) -> int:
        """How many connections of each sender submit."""
        return self.transmitters if self.bind_mode is BindModes.TRANSMITTER_RECEIVER else self.binds

    @property
    def all_binds(self) -> int:
        """How many connections each sender has."""
        return self.submitting_binds + (self.receivers if self.bind_mode is BindModes.TRANSMITTER_RECEIVER else 0)

    @property
    def source_type(self) -> AddressType:
        """Type of number and numbering plan of the sender."""
        return type_of_sender(self.source_addr, self.source_ton, self.source_npi)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if found := find_contradictions(self):
            raise ContradictionsError(found)
        return self
