"""Whether the SMSC of an account answers late, with hysteresis. Pure.

`now` is monotonic seconds.
"""

from collections import deque
from typing import Final

from broadcast.text.counts import counted

SILENT_SECONDS: Final = 5.0
"""An SMSC that leaves submits unanswered for so long is late, long before its session counts as mute."""

STEADY_SECONDS: Final = 60.0
"""So long nothing may be late, with at least one answer, before the account is in order again."""

RECENT_ANSWERS: Final = 200
"""The share of late answers is that of so many."""


class Lateness:
    """Answers of one account that came late, and submits that wait for one.

    `late` is true from the first late answer, or from `SILENT_SECONDS` without any answer, until answers have come in
    time for `STEADY_SECONDS`. An account without traffic stays as it is: nothing is known of it.
    """

    def __init__(self) -> None:
        self.late = False
        self._samples: Final[deque[tuple[int, int]]] = deque()
        self._late_at = 0.0
        self._timely = False
        self._pending, self._silent, self._longest = 0, 0.0, 0.0
        self._timeout = 0.0

    def look(
        self, now: float, *, answers: int, overdue: int, pending: int, silent_seconds: float, timeout: float
    ) -> None:
        """Assess the account at `now`; called regularly.

        Of the new `answers`, `overdue` came after `timeout`, the response timeout in seconds. The bind that is silent
        for longest has `pending` unanswered submits and no answer for `silent_seconds`.
        """
        self._timeout, self._pending, self._silent = timeout, pending, silent_seconds
        if answers:
            self._samples.append((answers, overdue))
            while sum(count for count, _ in self._samples) - self._samples[0][0] >= RECENT_ANSWERS:
                self._samples.popleft()
        if overdue or silent_seconds >= SILENT_SECONDS:
            self.late, self._late_at, self._timely = True, now, False
            self._longest = max(self._longest, silent_seconds)
            return
        self._timely = self._timely or answers > 0
        if self.late and self._timely and now - self._late_at >= STEADY_SECONDS:
            self.clear()

    def clear(self) -> None:
        """Forget everything: the sessions have ended, or another alarm says more."""
        self.late, self._timely, self._longest = False, False, 0.0
        self._samples.clear()

    def describe(self) -> str:
        """The lateness in words, to stand after the account's name; empty while nothing is late."""
        if not self.late:
            return ""
        overdue = sum(late for _, late in self._samples)
        if overdue:
            return (
                f"answers late: {overdue} of the last {sum(count for count, _ in self._samples)} answers came"
                f" after response_timeout_seconds ({self._timeout:g} s); raise response_timeout_seconds or ask the "
                "operator of the SMSC"
            )
        if self._silent >= SILENT_SECONDS:
            return f"has answered none of {counted(self._pending, 'submit')} for {self._silent:.0f} s"
        return f"answers slowly: it left submits unanswered for up to {self._longest:.0f} s"
