"""The kinds of fields of the routes file, each with what it refuses. Pure."""

import ipaddress
import re
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

RULE: Final = "routes_rule"
"""Type of our own errors; their context holds `rule` (what is wrong) and `step` (what to write)."""

LONGEST_SECONDS: Final = 86_400
PRIORITY_LIMIT: Final = 3
"""The highest priority_flag (SMPP 3.4, section 5.2.14)."""

PASSWORD_LIMIT: Final = 64
STANDARD_PASSWORD_LIMIT: Final = 8
"""SMPP 3.4, section 4.1.1: 9 octets with the NUL."""

_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


def refuse(rule: str, step: str) -> PydanticCustomError:
    """An error of one field: what is wrong with it, and what to write."""
    return PydanticCustomError(RULE, "{rule}; {step}", {"rule": rule, "step": step})


def find_foreign(text: str) -> str:
    """The first character that is not printable ASCII; empty where there is none."""
    return next((character for character in text if not " " <= character <= "~"), "")


def _check_ascii(text: str) -> str:
    if foreign := find_foreign(text):
        raise refuse(f"has the character {foreign!r}", "write printable ASCII only")
    return text


def _check_address(text: str) -> str:
    _check_ascii(text)
    if text != text.strip():
        raise refuse("begins or ends with a space", "remove it")
    if text.startswith("+"):
        raise refuse("begins with a plus sign", "write the digits only; the type of number says the rest")
    return text


def _check_host(host: str) -> str:
    """A host name or an IP address; without port, scheme or brackets."""
    _check_ascii(host)
    if "://" in host or "/" in host:
        raise refuse("is a URL", "write the host only, and the port in `port`")
    if any(character.isspace() for character in host):
        raise refuse("has a space in it", "remove it")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return host
    if host.startswith("["):
        raise refuse("has brackets", "write an IPv6 address without brackets, and the port in `port`")
    if re.fullmatch(r"[^:]+:[0-9]+", host):
        raise refuse("has a port in it", "write the port in `port`")
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise refuse("is neither a host name nor an IP address", "write one, such as smpp.example.net")
    return host


def check_password(password: str) -> str:
    """What is wrong with a password, in words; empty if nothing is."""
    if not password:
        return "is empty; write the password, or leave the field out if the SMSC wants none"
    if len(password) > PASSWORD_LIMIT:
        return f"has {len(password)} characters, at most {PASSWORD_LIMIT}; ask the carrier for a shorter one"
    if find_foreign(password):
        return "has a character that is not printable ASCII; ask the carrier for another"
    return ""


Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Host = Annotated[str, StringConstraints(min_length=1), AfterValidator(_check_host)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
BindCount = Annotated[int, Field(strict=True, ge=1, le=64)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=LONGEST_SECONDS)]
Octet = Annotated[int, Field(strict=True, ge=0, le=255)]
TypeOfNumber = Annotated[int, Field(strict=True, ge=0, le=6)]
NumberingPlan = Annotated[int, Field(strict=True, ge=0, le=18)]
SystemId = Annotated[str, StringConstraints(min_length=1, max_length=15), AfterValidator(_check_ascii)]
SystemType = Annotated[str, StringConstraints(max_length=12), AfterValidator(_check_ascii)]
ServiceType = Annotated[str, StringConstraints(max_length=5), AfterValidator(_check_ascii)]
Address = Annotated[str, StringConstraints(max_length=20), AfterValidator(_check_address)]
AddressRange = Annotated[str, StringConstraints(max_length=40), AfterValidator(_check_ascii)]
PriorityFlag = Annotated[int, Field(strict=True, ge=0, le=PRIORITY_LIMIT)]
ValidityLimit = Annotated[int, Field(strict=True, ge=60, le=30 * LONGEST_SECONDS)]
Prefix = Annotated[str, StringConstraints(pattern=r"^\+[0-9]{0,15}$")]


class InterfaceVersion(StrEnum):
    """The SMPP versions that a bind can name (SMPP 3.4, section 5.2.4; 5.0 by its own standard)."""

    V3_3 = "3.3"
    V3_4 = "3.4"
    V5_0 = "5.0"

    @property
    def octet(self) -> int:
        """The value of interface_version: 0x33, 0x34 or 0x50."""
        return int(self.value.replace(".", ""), 16)


class LongMessages(StrEnum):
    """How a text of several segments is submitted; each excludes the others (SMPP 3.4, section 5.2.12)."""

    UDH = "udh"
    UDH8 = "udh8"
    SAR = "sar"
    PAYLOAD = "payload"


class Validity(StrEnum):
    """How a submit says when its alert expires (SMPP 3.4, section 7.1.1)."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"
    OFF = "off"


FORMS: Final = {
    "name": "write small letters, digits, - and _ only, at most 40, a letter or digit first",
    "prefixes": "write a plus sign and at most 15 digits, such as +49",
}
"""What to write into a field whose bounds are a pattern."""
