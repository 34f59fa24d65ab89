"""Who is told what happens on a session."""

from typing import TYPE_CHECKING, Protocol, TypeVar

from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.window import Response

if TYPE_CHECKING:
    from broadcast.smpp.session import Session

T = TypeVar("T")


class Listener(Protocol[T]):
    """Is told what happens on a session, synchronously and in batches.

    Each method is called at most once for what is processed in one turn of the event loop, at most 512 PDUs.
    """

    def on_responses(self, session: "Session[T]", responses: list[Response[T]], /) -> None:
        """Submits were answered: (token, command_status, message id, sequence) of each."""

    def on_late(self, session: "Session[T]", responses: list[Response[T]], /) -> None:
        """Submits were answered that `on_lost` had given up on this session. At most once for each."""

    def on_second(self, session: "Session[T]", responses: list[Response[T]], /) -> None:
        """Submits were accepted that this session reported as refused, at most two response timeouts before."""

    def on_deliveries(self, session: "Session[T]", deliveries: list[Delivery], /) -> None:
        """Receipts and messages from phones came in, readable or not; `session.answer` them once they are stored."""

    def on_room(self, session: "Session[T]", /) -> None:
        """More submits may be written: after responses, after the bind, or when the rate allows it."""

    def on_lost(self, session: "Session[T]", error: SmppError, unanswered: list[T], /) -> None:
        """The outcome of `unanswered` is unknown.

        After a ResponseTimeoutError the session goes on, and the submits keep their places in the window: they are
        overdue, and a submit that was written after them has been answered. Any other error is the session's end; a
        MuteSessionError asks for a person.
        """
