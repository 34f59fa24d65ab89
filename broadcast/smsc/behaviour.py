"""How the simulator behaves: set on the command line, changed at run time by POST /behaviour."""

from typing import Final, Literal

import msgspec

from broadcast.errors import InputError
from broadcast.smpp.codec.command_status import RMSGQFUL, STATUS_NAMES

_NUMBERS: Final = {name.removeprefix("ESME_R").lower(): number for number, name in STATUS_NAMES.items()}

# Fields that take the name of a command_status too.
_STATUS_FIELDS: Final = frozenset({"refuse_binds", "number_cap_status"})


class BehaviourError(InputError):
    """A behaviour that is not possible; names the field, the value, and what is possible."""


class Behaviour(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """All switches of the simulator, for one account at one moment; shares are of submits, 0 to 1.

    What happens to a submit depends on seed, destination and number of repetitions only.
    """

    delay_ms: float = 0.0
    receipts: bool = True
    # From the response, or from when it would have been sent.
    receipt_delay_ms: float = 0.0
    # command_status (name or number) to share: {"throttled": 0.01, "0x45": 0.02}
    error_shares: dict[str, float] = {}
    undelivered_share: float = 0.0
    # Never answered; with `hang_takes` the phone still gets the message, and the client the receipt.
    hang_share: float = 0.0
    hang_takes: bool = True
    receipt_first_share: float = 0.0
    receipt_twice_share: float = 0.0
    receipt_unknown_share: float = 0.0
    # Refuse with RTHROTTLED: more unanswered submits on a bind, more submits of the account in any second; 0 never.
    window_cap: int = 0
    rate_cap: int = 0
    # Refuse with `number_cap_status`: more submits to one number in `number_cap_seconds` than this; 0 never.
    number_cap: int = 0
    number_cap_seconds: float = 1.0
    number_cap_status: int = RMSGQFUL
    # Not refused but counted as violations: more unanswered submits on a bind, more of the account in any second.
    window_limit: int = 0
    rate_limit: float = 0.0
    rate_tolerance: float = 0.02
    # Count submits without validity_period as violations.
    validity_required: bool = False
    # Responses when they are due, or behind all earlier ones, or those that are due together in reverse or shuffled.
    answer_order: Literal["due", "submitted", "reversed", "shuffled"] = "due"
    # congestion_state (SMPP 5.0) in responses: 90 at so many submits per second, more above, less below; 0 never.
    congestion_rate: float = 0.0
    # Of the account; more at once get RALYBND; 0: no limit.
    max_binds: int = 0
    # At most so many receipts of a bind wait for an answer; resent after a refusal for now, or to the next bind.
    receipt_window: int = 10_000
    receipt_retry_ms: float = 1000.0
    resend_receipts: bool = True
    receipt_tlvs: bool = True
    message_id_format: Literal["decimal", "hex", "uuid"] = "decimal"
    receipt_id_format: Literal["same", "decimal", "hex"] = "same"
    # Ids begin again after so many; 0 never.
    message_id_modulus: int = 0
    error_body: Literal["none", "empty"] = "none"
    # Write in pieces of so many octets, or wait so long and write everything together.
    split_bytes: int = 0
    coalesce_ms: float = 0.0
    # Take everything and send nothing, not even responses to enquire_link.
    silent: bool = False
    # Keep responses and receipts until this is set back; enquire_link is answered.
    pause_answers: bool = False
    # A command_status for every bind; 0 accepts.
    refuse_binds: int = 0
    # Connections: taken, refused (nobody listens), closed at once, or taken and never answered, not even a bind.
    connections: Literal["taken", "refused", "closed", "ignored"] = "taken"
    bind_delay_ms: float = 0.0
    # bind_resp: of 3.4, without the NUL of system_id, without a body, with TLVs that are unknown or malformed.
    bind_response: Literal["standard", "no_nul", "no_body", "unknown_tlvs", "malformed_tlvs"] = "standard"
    # Read at most so many octets a second from a connection; 0: as they come.
    read_bytes_per_second: float = 0.0
    # Send enquire_link after so many seconds, and close a session that sent nothing for so many; 0 never.
    enquire_link_seconds: float = 0.0
    inactivity_seconds: float = 0.0

    @property
    def has_shares(self) -> bool:
        """Submits are treated differently by chance."""
        return bool(
            self.error_shares
            or self.undelivered_share
            or self.hang_share
            or self.receipt_first_share
            or self.receipt_twice_share
            or self.receipt_unknown_share
        )

    @property
    def has_limits(self) -> bool:
        """Something is counted as a violation that SMPP itself does not forbid."""
        return bool(self.window_limit or self.rate_limit or self.validity_required)

    @property
    def watches_reading(self) -> bool:
        """What comes from a client is not just read."""
        return bool(self.read_bytes_per_second or self.inactivity_seconds or self.connections == "ignored")

    @property
    def plain(self) -> bool:
        """Every submit is treated the same: accepted, one receipt, after the response."""
        return not (
            self.has_shares
            or self.window_cap
            or self.rate_cap
            or self.number_cap
            or self.congestion_rate
            or self.answer_order != "due"
        )

    def change(self, changes: dict[str, object]) -> "Behaviour":
        """A copy with the changes. BehaviourError for an unknown field or an impossible value."""
        changes = {
            name: parse_status(value) if name in _STATUS_FIELDS and isinstance(value, str) else value
            for name, value in changes.items()
        }
        try:
            changed = msgspec.convert({**msgspec.to_builtins(self), **changes}, Behaviour)
        except msgspec.ValidationError as error:
            raise BehaviourError(f"behaviour: {error}") from error
        changed.check()
        return changed

    def check(self) -> None:
        """BehaviourError when a share is not within 0 and 1, or a number is negative."""
        for name, value in msgspec.to_builtins(self).items():
            if name.endswith("_share") and not 0 <= value <= 1:
                raise BehaviourError(f"{name}={value}: a share is from 0 to 1")
            if isinstance(value, int | float) and value < 0:
                raise BehaviourError(f"{name}={value}: not below 0")
        shares = self.statuses()
        if any(share < 0 for _, share in shares) or sum(share for _, share in shares) + self.hang_share > 1:
            raise BehaviourError(f"error_shares={self.error_shares}: shares and hang_share together exceed 1")

    def statuses(self) -> list[tuple[int, float]]:
        """error_shares by number."""
        return [(parse_status(name), share) for name, share in self.error_shares.items()]


def parse_status(text: str) -> int:
    """`throttled`, `ESME_RTHROTTLED`, `0x58` or `88` to a command_status. BehaviourError for anything else."""
    name = text.strip().lower().removeprefix("esme_r")
    number = _NUMBERS.get(name, _NUMBERS.get(name.removeprefix("r")))
    if number is not None:
        return number
    try:
        return int(name, 0)
    except ValueError:
        raise BehaviourError(f"status {text!r} is neither a number nor one of {', '.join(sorted(_NUMBERS))}") from None


def parse_share(text: str) -> tuple[str, float]:
    """`throttled=0.01` to its parts. BehaviourError when it is not of that form."""
    name, _, share = text.partition("=")
    parse_status(name)
    try:
        return name, float(share)
    except ValueError:
        raise BehaviourError(f"error share {text!r}: write STATUS=SHARE, as in throttled=0.01") from None
