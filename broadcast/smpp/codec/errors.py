"""What can be wrong with bytes that should be SMPP, and the root of all SMPP errors."""

from broadcast.errors import BroadcastError


class SmppError(BroadcastError):
    """Root of every error of the codec and of the session above it."""


class PduError(SmppError):
    """Bytes that are not a valid SMPP 3.4 PDU.

    `command_status` is the status to answer with (SMPP 3.4, 5.1.3).
    """

    def __init__(self, message: str, command_status: int) -> None:
        super().__init__(message)
        self.command_status = command_status


class FrameError(PduError):
    """A command_length that is impossible: where the next PDU begins is unknown, so the link must be closed."""
