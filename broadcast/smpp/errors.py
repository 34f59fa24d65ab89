"""Errors of the session: binds that fail, links that end, responses that do not come."""

from broadcast.smpp.codec.errors import SmppError


class BindError(SmppError):
    """A bind that failed.

    `retryable` is False where a new attempt soon can only do harm (wrong password or system id, bind forbidden);
    `command_status` is the SMSC's answer, or None when there was none (no TCP, no TLS, no response in time).
    """

    def __init__(self, message: str, *, retryable: bool, command_status: int | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable  # type: ignore[misc]  # of this bind; the class attribute is for all errors of a class
        self.command_status = command_status


class LinkLostError(SmppError):
    """The link ended; the outcome of the unanswered submits is unknown."""


class UnboundError(LinkLostError):
    """The link ended because this side sent unbind."""


class ResponseTimeoutError(SmppError):
    """Submits whose response is overdue: their outcome is unknown, and the session goes on."""


class MuteSessionError(LinkLostError):
    """The SMSC leaves submits unanswered although the link works, so this side closed the session.

    `pending` submits had no answer yet, `given_up` had none within the response timeout; the last answer, or the first
    of these submits, was `seconds` ago.
    """

    def __init__(self, message: str, *, pending: int, given_up: int, seconds: float) -> None:
        super().__init__(message)
        self.pending = pending
        self.given_up = given_up
        self.seconds = seconds
