"""What fields of one account say against each other. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from broadcast.routing.fields import InterfaceVersion, LongMessages, Validity
from broadcast.routing.senders import ALPHANUMERIC, NAME_LIMIT
from broadcast.smpp.account import BindModes

if TYPE_CHECKING:
    from broadcast.routing.smsc_account import Account


class Contradiction(NamedTuple):
    """A field that cannot be what it is beside the others: what is wrong, and what to write."""

    field: tuple[str, ...]
    rule: str
    step: str


class ContradictionsError(ValueError):
    """An account whose fields contradict each other."""

    def __init__(self, found: Sequence[Contradiction]) -> None:
        self.found = found
        super().__init__("; ".join(f"{'.'.join(one.field)} {one.rule}; {one.step}" for one in found))


Rule: TypeAlias = "Callable[[Account], Iterator[Contradiction]]"


def _check_sender(account: "Account") -> Iterator[Contradiction]:
    address, ton = account.source_addr, account.source_ton
    is_number = not address or address.isdigit()
    if ton == ALPHANUMERIC and not address:
        yield Contradiction(
            ("source_ton",), "is the type of a name, and source_addr is empty", "remove source_ton, or give a name"
        )
    elif ton == ALPHANUMERIC and is_number:
        yield Contradiction(
            ("source_ton",), f"is the type of a name, and source_addr {address!r} is a number", "remove source_ton"
        )
    elif ton not in {None, ALPHANUMERIC} and not is_number:
        yield Contradiction(("source_addr",), f"must be digits with source_ton = {ton}", "remove source_ton")
    if not is_number and len(address) > NAME_LIMIT:
        yield Contradiction(
            ("source_addr",), f"has {len(address)} characters, a name at most {NAME_LIMIT}", "shorten it"
        )


def _check_binds(account: "Account") -> Iterator[Contradiction]:
    separate = account.bind_mode is BindModes.TRANSMITTER_RECEIVER
    for field, of_separate in (("binds", False), ("transmitters", True), ("receivers", True)):
        if field in account.model_fields_set and of_separate is not separate:
            step = "write transmitters and receivers" if separate else "write binds, or change bind_mode"
            yield Contradiction((field,), f"says nothing with bind_mode = '{account.bind_mode}'", f"remove it: {step}")


def _check_times(account: "Account") -> Iterator[Contradiction]:
    if account.backoff_seconds > account.backoff_limit_seconds:
        yield Contradiction(
            ("backoff_seconds",),
            f"is longer than backoff_limit_seconds = {account.backoff_limit_seconds:g}",
            "lower the one, or raise the other",
        )
    if account.inactivity_seconds <= account.enquire_link_seconds:
        yield Contradiction(
            ("inactivity_seconds",),
            f"is not longer than enquire_link_seconds = {account.enquire_link_seconds:g}: each quiet link would end",
            "write at least twice enquire_link_seconds",
        )


def _check_tls(account: "Account") -> Iterator[Contradiction]:
    if account.tls and account.tls.key_file and not account.tls.certificate_file:
        yield Contradiction(
            ("tls", "key_file"), "stands without certificate_file", "add the certificate, or remove the key"
        )


def _check_long_messages(account: "Account") -> Iterator[Contradiction]:
    if account.replace_if_present and account.long_messages is not LongMessages.PAYLOAD:
        yield Contradiction(
            ("replace_if_present",),
            f"does not go with long_messages = '{account.long_messages}': the second segment would replace the first",
            'write long_messages = "payload", or remove it',
        )
    if account.interface_version is InterfaceVersion.V3_3:
        if account.long_messages in {LongMessages.SAR, LongMessages.PAYLOAD}:
            yield Contradiction(
                ("long_messages",), "needs optional parameters, which SMPP 3.3 does not have", "write 'udh' or 'udh8'"
            )
        if account.user_message_reference:
            yield Contradiction(
                ("user_message_reference",), "is an optional parameter, which SMPP 3.3 does not have", "remove it"
            )


def _check_validity(account: "Account") -> Iterator[Contradiction]:
    if account.validity is Validity.OFF and account.validity_limit_seconds is not None:
        yield Contradiction(
            ("validity_limit_seconds",), "does not go with validity = 'off'", "remove the one or the other"
        )


RULES: Final[Sequence[Rule]] = (
    _check_sender,
    _check_binds,
    _check_times,
    _check_tls,
    _check_long_messages,
    _check_validity,
)


def find_contradictions(account: "Account") -> list[Contradiction]:
    """Everything that the fields of an account say against each other."""
    return [found for rule in RULES for found in rule(account)]
