"""What an account says of answers: its SMSC's own command_status values, and how often it sends without an answer."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from broadcast.network.addresses import hide_login
from broadcast.routing.fields import LONGEST_SECONDS
from broadcast.smpp.codec.command_status import ROK
from schemas.lane import Lane

OwnMeaning: TypeAlias = Literal[
    "of_message", "number_for_now", "number_for_good", "of_account", "for_now", "throttled", "session", "unknown"
]
"""What an account may say of a command_status; the keys of `OWN_MEANINGS`."""

_RENAMED: Final[Mapping[str, OwnMeaning]] = {"of_number": "number_for_now", "invalid_number": "number_for_good"}
"""Names that a file may have by mistake, and what is meant."""

_HIGHEST = 0xFFFFFFFF


def _read_values(given: Any) -> Any:
    """Keys of a TOML table to numbers: hexadecimal with 0x, or decimal."""
    if not isinstance(given, Mapping):
        return given
    for key, value in given.items():
        if value not in get_args(OwnMeaning):
            shown = hide_login(str(value))
            if new := _RENAMED.get(str(value)):
                raise ValueError(f"{key!r} = {shown!r} is called {new!r}; write that")
            raise ValueError(f"{key!r} = {shown!r} is no meaning; write one of {', '.join(get_args(OwnMeaning))}")
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


def _read_pauses(given: Any) -> Any:
    if not isinstance(given, Mapping):
        return given
    for key, value in given.items():
        if type(value) is not int or not 1 <= value <= LONGEST_SECONDS:
            shown = hide_login(str(value))
            raise ValueError(f"{key!r} = {shown} is no pause; write whole seconds from 1 to {LONGEST_SECONDS}")
    return {_read_value(str(key)): value for key, value in given.items()}


OwnPauses: TypeAlias = Annotated[
    dict[int, int],
    BeforeValidator(_read_pauses),
    Field(max_length=1_000),
    WithJsonSchema({"type": "object"}),
]
"""Least pauses in seconds after some command_status values."""

Resends: TypeAlias = Annotated[int, Field(strict=True, ge=0, le=10)]


class ResendUnanswered(BaseModel):
    """How often a message that nothing answered is sent again, by lane; 0 leaves it `unknown`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    immediate: Resends = Field(default=1, description="For the immediate lane: most resends of a message.")
    priority: Resends = Field(default=1, description="For the priority lane: most resends of a message.")
    routine: Resends = Field(default=1, description="For the routine lane: most resends of a message.")

    def of(self, lane: Lane) -> int:
        """The most resends in a lane."""
        most: int = getattr(self, lane.value)
        return most
