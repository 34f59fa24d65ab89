"""Errors of the whole system: each docstring says what the message names; `retryable` says whether waiting helps."""

from typing import ClassVar

FENCED_EXIT_CODE = 76
"""A process ended itself because another took its place: its supervisor restarts it after a pause."""

LEASE_EXIT_CODE = 77
"""A sender ended itself because its last beat is too old to write on."""


class BroadcastError(Exception):
    """Something that the system refuses or cannot do; the message names field, value and next step."""

    retryable: ClassVar[bool] = False


class SettingsError(BroadcastError):
    """A setting is missing or wrong: which, its value, and what it should be."""


class InputError(BroadcastError):
    """What a caller gave cannot be accepted. `findings` are (path, rule, message) each."""

    def __init__(self, message: str, findings: tuple[tuple[str, str, str], ...] = ()) -> None:
        super().__init__(message)
        self.findings = findings


class UnavailableError(BroadcastError):
    """A broker, database or SMSC is away; the same call may succeed later."""

    retryable: ClassVar[bool] = True


class UnconfirmedError(UnavailableError):
    """The same may have been done already, and no answer says so: repeat the very same, or look first."""


class LostTailError(BroadcastError):
    """Kafka's log ends before what was read of it: the stage must start anew. `subject` is topic and partition."""

    def __init__(self, message: str, subject: str) -> None:
        super().__init__(message)
        self.subject = subject


class FencedError(BroadcastError):
    """Another process has taken this one's place: end at once, with `FENCED_EXIT_CODE`."""


class PoisonError(BroadcastError):
    """A record cannot be read or is invalid: it becomes a dead letter and the stream goes on."""


def name_error(error: BaseException) -> str:
    """What an error says, or its type where it says nothing."""
    return str(error) or type(error).__name__
