"""The settings of an SMSC account: address, login, limits and pauses."""

import ssl
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path

from broadcast.smpp.codec.command_status import RTHROTTLED
from broadcast.smpp.codec.message_ids import MessageIdRule
from broadcast.smpp.codec.pdu import BIND_RECEIVER, BIND_TRANSCEIVER, BIND_TRANSMITTER, PDU_CAP
from broadcast.smpp.errors import BindError


class BindMode(Enum):
    """The three kinds of bind (SMPP 3.4, 2.2)."""

    TRANSCEIVER = BIND_TRANSCEIVER
    TRANSMITTER = BIND_TRANSMITTER
    RECEIVER = BIND_RECEIVER


class BindModes(StrEnum):
    """Which binds an account has (SMPP 3.4, 2.2)."""

    TRANSCEIVER = "transceiver"
    """Each bind submits and receives."""
    TRANSMITTER_RECEIVER = "transmitter_receiver"
    """Some binds submit, others receive."""


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS to the SMSC, always verified; `ca_file` for a private CA, certificate and key for mutual TLS."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None

    def make_context(self) -> ssl.SSLContext:
        """A client context that verifies the chain and the host name. BindError when a file cannot be used."""
        fields = f"tls.ca_file = '{self.ca_file}'"
        try:
            context = ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
            if self.certificate_file is not None:
                fields = f"tls.certificate_file = '{self.certificate_file}', tls.key_file = '{self.key_file}'"
                context.load_cert_chain(self.certificate_file, self.key_file)
        except OSError as error:
            # The file may be there again at the next bind: certificates are renewed.
            reason = f"{fields}: cannot be used: {error.strerror or error}; name a PEM file that this process may read"
            raise BindError(reason, retryable=True) from error
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class BindConfig:
    """One bind. Durations in seconds, rate in segments per second (None: no limit of ours)."""

    host: str
    port: int
    system_id: str
    password: str = field(default="", repr=False)
    system_type: str = ""
    mode: BindMode = BindMode.TRANSCEIVER
    interface_version: int = 0x34
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: str = ""
    tls: Tls | None = None
    window: int = 64
    rate_per_second: float | None = None
    # TCP and TLS; a host that does not answer in this time counts as down.
    connect_timeout_seconds: float = 5.0
    # From the bind to its response (session_init_timer, 7.2).
    session_init_seconds: float = 10.0
    # Some SMSCs delay responses to enforce a rate: a short timer would make unknown outcomes and duplicates of that.
    response_timeout_seconds: float = 30.0
    enquire_link_seconds: float = 15.0
    # The answers that say that the rate is too high.
    throttled_statuses: frozenset[int] = frozenset({RTHROTTLED})
    # Longest pause after RTHROTTLED; it is shorter in proportion when only a share of the answers is throttled.
    throttle_pause_seconds: float = 0.1
    # Whether the rate follows the congestion_state of responses (SMPP 5.0).
    congestion_state: bool = True
    # Longer than two enquire_links: it only acts when those did not end the link.
    inactivity_seconds: float = 90.0
    # Whether our SMSC simulator may stand behind this bind; if not, the bind fails when it names itself.
    simulator_allowed: bool = True
    pdu_cap: int = PDU_CAP
    # deliver_sm that wait for our response; beyond it the SMSC is told to send again later (RX_T_APPN).
    deliveries_limit: int = 50_000
    # Octets of those among them that are large (`reader.LARGE_OCTETS`); beyond it the SMSC is told the same.
    deliveries_octets_limit: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountConfig:
    """One SMSC login with its binds; the rate is the account's, over all binds together.

    `bind.mode` is set by `bind_mode` for each bind.
    """

    name: str
    bind: BindConfig
    bind_mode: BindModes = BindModes.TRANSCEIVER
    # Of transceivers; of transmitters and of receivers in the other mode.
    binds: int = 1
    transmitters: int = 1
    receivers: int = 1
    # Several binds of one account at once look like an attack to some SMSCs.
    concurrent_binds: int = 1
    rate_per_second: float | None = None
    message_id_rule: MessageIdRule = MessageIdRule.AS_IS
    # Pauses before a new bind: exponential with jitter between the two; after a refusal at least `refused`.
    backoff_seconds: float = 0.5
    backoff_limit_seconds: float = 30.0
    refused_backoff_seconds: float = 60.0
    # RALYBND: the SMSC still has the session before; it ends it after its own enquire_link fails.
    already_bound_backoff_seconds: float = 10.0
