"""What can go wrong between this process and an SMSC."""

from broadcast.errors import BroadcastError


class SmppError(BroadcastError):
    """Root of every error of the SMPP room."""


class PduError(SmppError):
    """Bytes that are no SMPP 3.4 PDU; `command_status` is what to answer with (SMPP 3.4, 5.1.3)."""

    def __init__(self, message: str, command_status: int) -> None:
        super().__init__(message)
        self.command_status = command_status


class FrameError(PduError):
    """A command_length that cannot be true: the stream is lost and the link must be dropped."""


class BindError(SmppError):
    """A bind that did not come about.

    `retryable` is False where trying again soon can only do harm (wrong password or system id, bind forbidden);
    `command_status` is the SMSC's answer, or None when there was none (no TCP, no TLS, no response in time).
    """

    def __init__(self, message: str, *, retryable: bool, command_status: int | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable  # type: ignore[misc]  # of this bind, where the class speaks for all
        self.command_status = command_status


class LinkLostError(SmppError):
    """The link ended; the outcome of what was unanswered is unknown."""


class UnboundError(LinkLostError):
    """The link ended because we unbound."""


class ResponseTimeoutError(SmppError):
    """Submits whose response is overdue; their outcome is unknown, the link goes on."""
