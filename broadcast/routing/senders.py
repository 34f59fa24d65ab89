"""The sender that a phone shows: its type of number and numbering plan (SMPP 3.4, sections 5.2.5 and 5.2.6). Pure."""

from typing import Final, NamedTuple

NAME_LIMIT: Final = 11
"""Most characters of a sender that is a name (3GPP TS 23.040, section 9.1.2.5)."""

SHORT_NUMBER_LIMIT: Final = 6
"""Most digits of a number that is taken for a short code."""

UNKNOWN, INTERNATIONAL, NATIONAL, NETWORK_SPECIFIC, ALPHANUMERIC = 0, 1, 2, 3, 5
NO_PLAN, E164 = 0, 1


class AddressType(NamedTuple):
    """Type of number and numbering plan of an address."""

    ton: int
    npi: int


def type_of_sender(address: str, ton: int | None = None, npi: int | None = None) -> AddressType:
    """The type of a sender; `ton` and `npi` are what the account says, None where it follows from the address.

    A name is alphanumeric, up to six digits are a short code of the network, digits that begin with 0 are of unknown
    type, other digits are an international number, and an empty sender, which the SMSC fills in, is unknown.
    """
    if ton is None:
        if not address:
            ton = UNKNOWN
        elif not address.isdigit():
            ton = ALPHANUMERIC
        elif len(address) <= SHORT_NUMBER_LIMIT:
            ton = NETWORK_SPECIFIC
        else:
            ton = UNKNOWN if address.startswith("0") else INTERNATIONAL
    if npi is None:
        npi = E164 if ton in {INTERNATIONAL, NATIONAL} else NO_PLAN
    return AddressType(ton, npi)
