"""Alerts and stops as control has them, in bounded memory. Pure."""

import math
from collections.abc import Callable
from sys import getsizeof
from typing import Final
from uuid import UUID

import msgspec

from schemas.bounds import ALERT_BYTES_MAX, ALERT_ID_LENGTH_MAX
from schemas.control import STOP_SUFFIX, Control

BEHIND_SECONDS: Final = 1.0
"""A reader that is further behind may have missed a stop: nothing is written until it has caught up."""

PASSED_MARGIN_SECONDS: Final = 0.5
"""A fetch that is answered this long after an instant was asked for after it: ten times the longest wait of a fetch."""

FORGET_TEXTS_MS: Final = 86_400_000
"""An alert that expired so long ago keeps its place but not its texts."""

PRESSED_FORGET_TEXTS_MS: Final = 60_000
"""The same where memory is short: no two clocks of ours differ by so much."""

KEPT_MS: Final = 2 * 86_400_000
"""Topics keep the jobs of an alert for so long after its expiry, at the longest."""

LIMIT_BYTES: Final = 64 << 20

VALUE_BYTES_MAX: Final = 2 * ALERT_BYTES_MAX
"""More than the control record of the largest alert has."""

PLACE_BYTES: Final = 700
"""Of one alert without its texts: record, id, and the room in two dictionaries."""

STOP_BYTES: Final = 250
"""Of one stop: id, time, and the room in a dictionary."""

TEXT_BYTES: Final = 100
"""Of one text, besides its characters."""


class ControlFullError(Exception):
    """A record has no room: all that is known may still matter."""


class ControlView:
    """Alerts and stops by alert id, and how fresh that is. Pure.

    `seen` has when each alert was first read, `stopped` when each was stopped, in milliseconds since the epoch.
    `caught_up_at` is the last instant of the monotonic clock at which it held everything that control had. A wall clock
    that is set back would make it look fresher than it is.

    It takes at most `limit_bytes`, as far as they can be counted. What cannot matter is forgotten where a record would
    not fit: texts of alerts that have expired; and alerts that expired more than `kept_ms` ago, with their stops, of
    which no topic has a job any more. A stop of any other alert is never forgotten.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES, kept_ms: int = KEPT_MS) -> None:
        self.controls: Final[dict[str, Control]] = {}
        self.seen: Final[dict[str, int]] = {}
        self.stopped: Final[dict[str, int]] = {}
        self.caught_up_at = -math.inf
        self._limit: Final = limit_bytes
        self._kept_ms: Final = kept_ms
        self._bytes = 0
        self._pressed = False
        self._decoder: Final = msgspec.json.Decoder(Control)

    @property
    def counted_bytes(self) -> int:
        """What it takes, as far as it can be counted."""
        return self._bytes

    def apply(self, key: bytes | None, value: bytes | None, now: int, *, at: int | None = None) -> None:
        """Take in one record that was written `at`: a stop stays, a control without a value removes the alert.

        msgspec.MsgspecError (ValidationError, DecodeError) for a value that is no control record, or a key that is not
        its own. ControlFullError where there is no room, with nothing changed but what was forgotten.
        """
        name = (key or b"").decode()
        alert_id = name.removesuffix(STOP_SUFFIX)
        if len(alert_id) > ALERT_ID_LENGTH_MAX:
            raise msgspec.ValidationError(
                f"key has {len(name)} characters, at most {ALERT_ID_LENGTH_MAX}, and {STOP_SUFFIX} for a stop; it is "
                "an alert id"
            )
        if alert_id != name:
            if value is not None:
                self._stop(_canonical(alert_id), now, now if at is None else at)
        elif value is None:
            control = self.controls.pop(name, None)
            self._bytes -= 0 if control is None else _size_of(control)
        else:
            self._keep(name, value, now)

    def behind(self, now: float) -> bool:
        """Whether, at `now` on the monotonic clock, a stop may have been missed."""
        return now - self.caught_up_at > BEHIND_SECONDS

    def passed(self, instant: float) -> bool:
        """Whether it holds everything that control had at an instant of the monotonic clock."""
        return self.caught_up_at > instant + PASSED_MARGIN_SECONDS

    def _stop(self, alert_id: str, now: int, at: int) -> None:
        if alert_id in self.stopped or (self._pressed and alert_id not in self.seen and at < now - self._kept_ms):
            return
        self._make_room(lambda: STOP_BYTES, now, coming=alert_id)
        self.stopped[alert_id] = at
        self._bytes += STOP_BYTES

    def _keep(self, name: str, value: bytes, now: int) -> None:
        if len(value) > VALUE_BYTES_MAX:
            raise msgspec.ValidationError(f"value has {len(value)} bytes, at most {VALUE_BYTES_MAX}")
        control = self._decoder.decode(value)
        if control.alert_id != name:
            raise msgspec.ValidationError(
                f"key is {name!r} and alert_id {control.alert_id!r}; write the record with its alert id as key"
            )
        if name != _canonical(name):
            # A stop holds for the usual form alone.
            raise msgspec.ValidationError(f"alert_id is {name!r}; write the UUID as {_canonical(name)!r}")
        if control.expires_at < now - FORGET_TEXTS_MS:
            control.variants = ()
        if self._pressed and control.expires_at < now - self._kept_ms:
            return
        self._make_room(lambda: self._size_with(control), now, coming=name)
        self._bytes += self._size_with(control)
        self.seen.setdefault(name, now)
        self.controls[name] = control

    def _size_with(self, control: Control) -> int:
        known = self.controls.get(control.alert_id)
        place = 0 if control.alert_id in self.seen else PLACE_BYTES
        return place + _size_of(control) - (0 if known is None else _size_of(known))

    def _make_room(self, size: Callable[[], int], now: int, *, coming: str) -> None:
        # What is forgotten may be of the very alert that is coming, which then takes more.
        if self._bytes + size() <= self._limit:
            return
        self._forget(now, coming)
        if self._bytes + size() > self._limit:
            raise ControlFullError(
                f"{len(self.controls)} alerts and {len(self.stopped)} stops that may still matter need more than "
                f"{self._limit >> 20} MiB"
            )

    def _forget(self, now: int, coming: str) -> None:
        self._pressed = True
        ended = now - self._kept_ms
        for alert_id, seen in tuple(self.seen.items()):
            control = self.controls.get(alert_id)
            if (seen if control is None else control.expires_at) < ended:
                del self.seen[alert_id]
                self.controls.pop(alert_id, None)
                stop = self.stopped.pop(alert_id, None)
                self._bytes -= PLACE_BYTES + (0 if stop is None else STOP_BYTES)
                self._bytes -= 0 if control is None else _size_of(control)
            elif control is not None and control.variants and control.expires_at < now - PRESSED_FORGET_TEXTS_MS:
                self._bytes -= _size_of(control)
                control.variants = ()
        for alert_id, at in tuple(self.stopped.items()):
            if at < ended and alert_id not in self.seen and alert_id != coming:
                del self.stopped[alert_id]
                self._bytes -= STOP_BYTES


def _canonical(alert_id: str) -> str:
    # As alerts have it: whoever writes a stop by hand may copy the id in capitals, and it is to hold all the same.
    try:
        return str(UUID(alert_id))
    except ValueError:
        return alert_id


def _size_of(control: Control) -> int:
    return sum(TEXT_BYTES + getsizeof(variant.text) + getsizeof(variant.language) for variant in control.variants)
