"""A record that could not be read or was invalid, on `deadletters.v1`."""

import base64
from typing import Annotated

import msgspec

from schemas.bounds import Milliseconds, Name, Number, Offset

TOPIC_LENGTH_MAX = 249
"""Kafka's own limit of a topic's name."""

KEY_BYTES_MAX = 10_000
ERROR_LENGTH_MAX = 2_000
VALUE_BYTES_MAX = 600_000
"""Most bytes kept of a value: as base64 they fit a record of 1 MiB, the largest a broker takes by default."""


class DeadLetter(msgspec.Struct, omit_defaults=True):
    """What was read, where it came from, and why it was put aside; key: the source topic.

    `key` and `value` are the raw bytes; in JSON they are base64. `at` is milliseconds since the epoch.
    `truncated` says that `value` or `key` is only the beginning of what was too large to keep.
    """

    topic: Annotated[str, msgspec.Meta(max_length=TOPIC_LENGTH_MAX)]
    partition: Number
    offset: Offset
    stage: Name
    error: Annotated[str, msgspec.Meta(max_length=ERROR_LENGTH_MAX)]
    at: Milliseconds
    key: Annotated[bytes, msgspec.Meta(max_length=KEY_BYTES_MAX)] | None = None
    value: Annotated[bytes, msgspec.Meta(max_length=VALUE_BYTES_MAX)] | None = None
    truncated: bool = False

    def preview(self, length: int = 200) -> str:
        """The first characters of the value, for people; bytes that are not UTF-8 as base64."""
        if self.value is None:
            return ""
        try:
            return self.value.decode()[:length]
        except UnicodeDecodeError:
            return base64.b64encode(self.value).decode()[:length]


def make_letter(
    *, topic: str, partition: int, offset: int, stage: str, error: str, at: int, key: bytes | None, value: bytes | None
) -> DeadLetter:
    """A dead letter that fits a record, whatever its own record held."""
    kept_key = None if key is None else key[:KEY_BYTES_MAX]
    kept_value = None if value is None else value[:VALUE_BYTES_MAX]
    return DeadLetter(
        topic=topic,
        partition=partition,
        offset=offset,
        stage=stage,
        error=error[:ERROR_LENGTH_MAX],
        at=at,
        key=kept_key,
        value=kept_value,
        truncated=(kept_key, kept_value) != (key, value),
    )
