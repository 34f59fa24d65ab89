"""The tables of a profile file, field by field: accounts, rules, events."""

from typing import Annotated, Literal

import msgspec

from broadcast.smpp.codec.receipts import MessageState
from broadcast.smsc.profile.delays import Delay, Seconds, Share

Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Part = Annotated[int, msgspec.Meta(ge=1, le=255)]
State = Literal[
    "SCHEDULED",
    "ENROUTE",
    "DELIVERED",
    "EXPIRED",
    "DELETED",
    "UNDELIVERABLE",
    "ACCEPTED",
    "UNKNOWN",
    "REJECTED",
    "SKIPPED",
]
Mode = Literal["transmitter", "receiver", "transceiver"]
ALL_MODES: tuple[Mode, ...] = ("transmitter", "receiver", "transceiver")


class Account(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Who may bind, where and how, and how the simulator behaves towards this account.

    `port` None is the port of the process, 0 a free one of its own. `password` None accepts any. `behaviour` has fields
    of `Behaviour`, `client` what the client's routes file must say of this account.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    system_id: Annotated[str, msgspec.Meta(min_length=1, max_length=15)] | None = None
    password: str | None = None
    port: Port | None = None
    modes: tuple[Mode, ...] = ALL_MODES
    max_binds: Count = 0
    behaviour: dict[str, object] = {}
    client: dict[str, object] = {}

    @property
    def login(self) -> str:
        """The system_id; by default the account's name."""
        return self.name if self.system_id is None else self.system_id

    @property
    def listener(self) -> str:
        """Which port it binds on: accounts with the same value share it; empty is the port of the process."""
        if self.port is None:
            return ""
        return str(self.port) if self.port else f"free port of {self.name}"


class Answer(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What a rule changes of the response to a submit; absent fields change nothing."""

    status: str | int | None = None
    body: Literal["none", "empty", "id", "garbage"] | None = None
    nack: bool | None = None
    never: bool | None = None
    takes: bool | None = None
    delay_seconds: float | Delay | None = None
    times: Annotated[int, msgspec.Meta(ge=1, le=10)] | None = None
    cut: Literal["before", "in", "after"] | None = None
    tlvs: Literal["none", "unknown", "malformed"] | None = None


class Receipt(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What a rule changes of the receipts of a submit; absent fields change nothing."""

    state: State | None = None
    error: str | None = None
    times: Annotated[int, msgspec.Meta(ge=0, le=10)] | None = None
    delay_seconds: float | Delay | None = None
    early: bool | None = None
    unknown_too: bool | None = None
    intermediate: tuple[State, ...] | None = None
    pdu: Literal["deliver_sm", "data_sm"] | None = None
    text: Literal["standard", "csv", "seconds", "no_dates", "short", "garbage", "none"] | None = None
    coding: Literal["default", "latin1", "ucs2"] | None = None
    payload: bool | None = None
    tlvs: Literal["standard", "none", "unknown", "malformed", "state_only"] | None = None
    esm_class: Annotated[int, msgspec.Meta(ge=0, le=255)] | None = None
    id: Literal["decimal", "hex", "lower", "upper", "padded", "unpadded", "unknown", "long"] | None = None


class Rule(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True, frozen=True):
    """What happens to which submits, or how accounts behave, at what time.

    Of each field the first matching rule that names it decides. Times are seconds since the start, or since the first
    submit (`Profile.clock`).
    """

    name: str = ""
    accounts: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    pattern: str = ""
    parts: tuple[Part, ...] = ()
    share: Share | None = None
    number_share: Share | None = None
    first: Annotated[int, msgspec.Meta(ge=1)] | None = None
    from_seconds: Seconds = 0.0
    until_seconds: Seconds | None = None
    every_seconds: Positive | None = None
    for_seconds: Positive | None = None
    answer: Answer = Answer()
    receipt: Receipt = Receipt()
    behaviour: dict[str, object] = {}

    @property
    def chooses_submits(self) -> bool:
        """It looks at single submits, so that it cannot change how an account behaves."""
        conditions = (self.numbers, self.prefixes, self.pattern, self.parts)
        return any(conditions) or any(each is not None for each in (self.share, self.number_share, self.first))


class Event(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What the simulator does by itself at `at_seconds`, and again every `every_seconds` until `until_seconds`.

    unbind and close: all binds of the accounts; away: nobody listens for `seconds`; outbind: on all links, or on a new
    connection to `host` and `port`.
    """

    do: Literal["unbind", "close", "away", "outbind", "enquire_link"]
    accounts: tuple[str, ...] = ()
    at_seconds: Seconds
    every_seconds: Positive | None = None
    until_seconds: Seconds | None = None
    seconds: Positive = 5.0
    host: str = "127.0.0.1"
    port: Port | None = None


class TlsFiles(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """PEM files; relative names are beside the profile. With `client_ca` clients must show a certificate."""

    certificate: str
    key: str | None = None
    client_ca: str | None = None


class Profile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """One profile file. Without accounts every bind is accepted, as without a profile.

    `behaviour` and `client` are for all accounts; what an account says itself has priority.
    """

    about: str = ""
    seed: int | None = None
    clock: Literal["start", "first_submit"] = "start"
    accounts: tuple[Account, ...] = ()
    rules: tuple[Rule, ...] = ()
    events: tuple[Event, ...] = ()
    tls: TlsFiles | None = None
    behaviour: dict[str, object] = {}
    client: dict[str, object] = {}


def state_of(name: str) -> MessageState:
    """The message_state of that name."""
    return MessageState[name]
