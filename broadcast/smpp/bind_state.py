"""The state of a bind for people, and when a bind is tried again. No clock, no socket."""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from broadcast.smpp.account import AccountConfig, BindMode
from broadcast.smpp.codec.command_status import RALYBND
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.errors import BindError, MuteSessionError

TURN_SECONDS: Final = 0.1
"""After a pause of the account its binds try so far apart, the one that was refused last at the end."""


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


class AccountPause:
    """Until when no bind of an account is tried, because one was refused what all ask for.

    `now` is in seconds of any clock that does not go back.
    """

    __slots__ = ("_refused", "_until", "refusal")

    def __init__(self) -> None:
        self._until = float("-inf")
        # Names of binds, the one that was refused last at the end.
        self._refused: list[str] = []
        self.refusal: BindError | None = None
        """The newest refusal that asks for a pause."""

    def note(self, bind: str, error: SmppError | None, delay: float, now: float) -> None:
        """A bind failed or ended, and the next attempt is to be after so many seconds.

        A refused login and RALYBND hold for all binds of the account; anything else only for this one.
        """
        if not isinstance(error, BindError) or (error.retryable and error.command_status != RALYBND):
            return
        self.refusal = error
        self._until = max(self._until, now + delay)
        self._refused = [*(each for each in self._refused if each != bind), bind]

    def left(self, bind: str, now: float) -> float:
        """Seconds for which this bind is not tried; 0.0 for none.

        Those that were refused longest ago are the first to try: one that is always refused keeps none from trying.
        """
        if now >= self._until:
            return 0.0
        place = 1 + self._refused.index(bind) if bind in self._refused else 0
        return self._until - now + place * TURN_SECONDS


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
