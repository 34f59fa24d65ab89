"""How the simulator behaves: set on the command line, changed at run time by POST /behaviour."""

from typing import Final, Literal

import msgspec

from broadcast.errors import InputError
from broadcast.smpp.codec.command_status import STATUS_NAMES

_NUMBERS: Final = {name.removeprefix("ESME_R").lower(): number for number, name in STATUS_NAMES.items()}


class BehaviourError(InputError):
    """A behaviour that is not possible; names the field, the value, and what is possible."""


class Behaviour(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """All switches of the simulator; shares are of submits, 0 to 1.

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
    # Refuse with RTHROTTLED: more unanswered submits on a bind than this, more submits in a second than this; 0 never.
    window_cap: int = 0
    rate_cap: int = 0
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

    @property
    def plain(self) -> bool:
        """Every submit is treated the same: accepted, one receipt, after the response."""
        return not (
            self.error_shares
            or self.undelivered_share
            or self.hang_share
            or self.receipt_first_share
            or self.receipt_twice_share
            or self.receipt_unknown_share
            or self.window_cap
            or self.rate_cap
        )

    def change(self, changes: dict[str, object]) -> "Behaviour":
        """A copy with the changes. BehaviourError for an unknown field or an impossible value."""
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
