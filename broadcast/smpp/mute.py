"""When a session is mute: its SMSC leaves submits unanswered although the link works. No clock, no socket."""

from typing import Final, TypeVar

from broadcast.smpp.errors import MuteSessionError
from broadcast.smpp.window import Window, limit_given_up

T = TypeVar("T")
MUTE_TIMEOUTS: Final = 2
"""A session is mute when no submit was answered for so many response timeouts."""


def find_mute(window: Window[T], timeout: float, seconds: float, segments_awaited: int) -> MuteSessionError | None:
    """Why a session is mute, or None.

    `timeout` is the response timeout; the last answer, or the oldest unanswered submit, was `seconds` ago;
    `segments_awaited` segments wait for places in the window at once.
    """
    pending, given_up = window.pending, window.given_up
    if pending and seconds >= MUTE_TIMEOUTS * timeout:
        reason = f"no submit answered for {MUTE_TIMEOUTS * timeout:g} s"
    elif given_up > (limit := limit_given_up(window.limit)):
        reason = f"more than {limit} of {window.limit} submits unanswered for over {timeout:g} s"
    elif given_up and not pending and window.limit - given_up < segments_awaited:
        reason = f"no room for {segments_awaited} segments beside the unanswered submits"
    else:
        return None
    return MuteSessionError(f"mute session: {reason}", pending=pending, given_up=given_up, seconds=round(seconds, 1))
