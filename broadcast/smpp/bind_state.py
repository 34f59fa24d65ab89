"""The state of a bind for people, and when a bind is tried again. No clock, no socket."""

import random
from dataclasses import dataclass
from enum import StrEnum

from broadcast.smpp.account import AccountConfig, BindMode
from broadcast.smpp.codec.command_status import RALYBND
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.errors import BindError, MuteSessionError


class BindPhase(StrEnum):
    """What a bind does now."""

    CONNECTING = "connecting"
    """An attempt is under way, or waits for another of the same account."""
    BOUND = "bound"
    WAITING = "waiting"
    """Waits for its next attempt, after a failed attempt or a lost session."""
    REFUSED = "refused"
    """Waits long for its next attempt: the SMSC refused the login, and a person must correct it."""
    UNBINDING = "unbinding"
    """Writes no more submits, waits for responses, then unbinds, and is gone."""


@dataclass(frozen=True, slots=True)
class BindState:
    """One bind of an account. Times are milliseconds since the epoch.

    `since` is when it was bound, or since when it is not. `error` says why the last attempt failed or the last session
    ended, None when bound; `failures` counts those one after the other.
    """

    account: str
    bind: str
    mode: BindMode
    phase: BindPhase
    since: int
    error: SmppError | None = None
    failures: int = 0
    next_attempt_at: int | None = None


def choose_delay(config: AccountConfig, error: SmppError | None, failures: int, jitter: random.Random) -> float:
    """Seconds until the next bind: exponential with jitter, long when the SMSC refused, constant on RALYBND."""
    if isinstance(error, BindError):
        if error.command_status == RALYBND:
            return config.already_bound_backoff_seconds * jitter.uniform(1.0, 1.25)
        if not error.retryable:
            return config.refused_backoff_seconds * jitter.uniform(1.0, 1.5)
    ceiling = min(config.backoff_limit_seconds, config.backoff_seconds * 2.0 ** min(failures - 1, 16))
    return jitter.uniform(ceiling / 2, ceiling)


def count_failures(failures: int, lasted_seconds: float, settled_seconds: float, error: SmppError | None) -> int:
    """Failures one after the other, with that of a session that lasted so long and ended by `error`.

    A session that lasted long begins the count anew, unless it was mute: bound at once it would only be mute again.
    """
    if lasted_seconds >= settled_seconds and not isinstance(error, MuteSessionError):
        return 1
    return failures + 1
