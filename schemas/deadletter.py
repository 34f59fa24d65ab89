"""A record that could not be read or was invalid, on `deadletters.v1`."""

import base64

import msgspec


class DeadLetter(msgspec.Struct, omit_defaults=True):
    """What was read, where it came from, and why it was put aside; key: the source topic.

    `key` and `value` are the raw bytes; in JSON they are base64. `at` is milliseconds since the epoch.
    `truncated` says that `value` is only the beginning of what was too large to keep.
    """

    topic: str
    partition: int
    offset: int
    stage: str
    error: str
    at: int
    key: bytes | None = None
    value: bytes | None = None
    truncated: bool = False

    def preview(self, length: int = 200) -> str:
        """The first characters of the value, for people; bytes that are not UTF-8 as base64."""
        if self.value is None:
            return ""
        try:
            return self.value.decode()[:length]
        except UnicodeDecodeError:
            return base64.b64encode(self.value).decode()[:length]
