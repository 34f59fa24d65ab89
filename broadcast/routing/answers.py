"""What an account says of answers: its SMSC's own command_status values."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema

from broadcast.smpp.codec.command_status import ROK

OwnMeaning: TypeAlias = Literal[
    "of_message", "of_number", "invalid_number", "of_account", "for_now", "throttled", "session", "unknown"
]
"""What an account may say of a command_status; the keys of `OWN_MEANINGS`."""

_HIGHEST = 0xFFFFFFFF


def _read_values(given: Any) -> Any:
    """Keys of a TOML table to numbers: hexadecimal with 0x, or decimal."""
    if not isinstance(given, Mapping):
        return given
    return {_read_value(str(key)): value for key, value in given.items()}


def _read_value(text: str) -> int:
    try:
        value = int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        raise ValueError(f'{text!r} is no command_status; write it like "0x0401"') from None
    if not ROK < value <= _HIGHEST:
        raise ValueError(f"{text!r} is not 0x00000001 to 0xFFFFFFFF; 0 is an acceptance and cannot be changed")
    return value


OwnStatuses: TypeAlias = Annotated[
    dict[int, OwnMeaning],
    BeforeValidator(_read_values),
    Field(max_length=1_000),
    WithJsonSchema({"type": "object"}),
]
"""What the SMSC of an account means by some command_status values."""
