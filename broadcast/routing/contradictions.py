"""What fields of one account say against each other. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from broadcast.routing.senders import ALPHANUMERIC, NAME_LIMIT

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


RULES: Final[Sequence[Rule]] = (_check_sender, _check_times, _check_tls)


def find_contradictions(account: "Account") -> list[Contradiction]:
    """Everything that the fields of an account say against each other."""
    return [found for rule in RULES for found in rule(account)]
