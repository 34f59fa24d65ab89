"""SMPP 3.4 as an ESME, batch-first: codec, session, window, pacing, receipts, bind pool."""

from broadcast.smpp.account import AccountConfig, BindConfig, BindMode, Tls
from broadcast.smpp.binding import connect
from broadcast.smpp.codec.command_status import OutcomeClass, classify_status, name_status
from broadcast.smpp.codec.errors import (
    BindError,
    FrameError,
    LinkLostError,
    PduError,
    ResponseTimeoutError,
    SmppError,
    UnboundError,
)
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.receipts import (
    MessageIdRule,
    MessageState,
    ReceiptContent,
    normalise_receipt_ids,
    normalise_response_ids,
    parse_receipt,
    seconds_between,
)
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.pacing import Pacing
from broadcast.smpp.pool import Pool
from broadcast.smpp.session import Listener, Session
from broadcast.smpp.window import Response

__all__ = [
    "AccountConfig",
    "BindConfig",
    "BindError",
    "BindMode",
    "Delivery",
    "FrameError",
    "LinkLostError",
    "Listener",
    "MessageIdRule",
    "MessageState",
    "OutcomeClass",
    "Pacing",
    "PduError",
    "Pool",
    "ReceiptContent",
    "Response",
    "ResponseTimeoutError",
    "Session",
    "SmppError",
    "SubmitTemplate",
    "Tls",
    "UnboundError",
    "classify_status",
    "connect",
    "name_status",
    "normalise_receipt_ids",
    "normalise_response_ids",
    "parse_receipt",
    "seconds_between",
]
