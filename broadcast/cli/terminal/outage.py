"""Reads of the API that are repeated until it answers: who does not answer, and since when."""

import time
from collections.abc import Callable
from datetime import datetime
from math import inf
from typing import Any, Final, NamedTuple

from broadcast.api.client import Reader, UnreachableError
from broadcast.clock import utc_now
from broadcast.errors import UnavailableError

REPEAT_SECONDS: Final = 1.0
FIRST_LINE_SECONDS: Final = 10.0
"""After the first line about an outage the next comes after so long, then after twice that, and so on."""
SHOWN_AFTER_SECONDS: Final = 3.0
"""A terminal shows a request that is not answered for so long."""

GOES_ON: Final = "the alert goes on without this display; do not publish it again"


class Outage(NamedTuple):
    """Since when nothing is answered, for how many seconds, and what the last request was told."""

    since: datetime
    seconds: float
    error: str

    def describe(self) -> str:
        """The outage in words, with what it means for the alert."""
        return f"no answer since {self.since:%H:%M:%S} UTC ({self.seconds:.0f} s): {self.error}; asked again; {GOES_ON}"

    def facts(self, alert_id: str) -> dict[str, Any]:
        """The outage as an object for a program."""
        return {
            "alert_id": alert_id,
            "error": self.error,
            "since": self.since.isoformat(),
            "seconds": round(self.seconds, 1),
            "note": GOES_ON,
        }


class RepeatedReads:
    """Reads that are repeated after every error that may pass.

    An error that stays, such as 401 or 404, is raised.
    """

    def __init__(
        self,
        api: Reader,
        tell: Callable[[Outage], None] = lambda _: None,
        deadline: float = inf,
        *,
        answered: bool = False,
    ) -> None:
        """`tell` hears of an outage when it begins, and at doubling distances while it lasts.

        After `deadline`, monotonic seconds, the error is raised as it is. `answered`: the API has answered before; one
        that never has and cannot be reached is mostly at another address, so that error is raised.
        """
        self._api: Final = api
        self._tell: Final = tell
        self._deadline: Final = deadline
        self._answered = answered
        self._asked: tuple[datetime, float] | None = None
        self._error = ""
        self._next_line = 0.0
        self.outages = 0
        """How many outages have begun."""

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """The JSON of a GET, as soon as the API gives it."""
        began = self._asked = (utc_now(), time.monotonic())
        while True:
            try:
                found = self._api.get(path, **parameters)
            except UnavailableError as error:
                now = time.monotonic()
                if now >= self._deadline or (isinstance(error, UnreachableError) and not self._answered):
                    raise
                self._note(str(error), now - began[1])
            else:
                self._asked, self._error, self._next_line, self._answered = None, "", 0.0, True
                return found
            time.sleep(REPEAT_SECONDS)

    def outage(self, now: float) -> Outage | None:
        """The outage at `now`, monotonic seconds, if there is one; it is read while a request waits too."""
        asked = self._asked
        if asked is None or (not self._error and now - asked[1] < SHOWN_AFTER_SECONDS):
            return None
        return Outage(asked[0], now - asked[1], self._error or "the API has not answered yet")

    def _note(self, error: str, seconds: float) -> None:
        if not self._error:
            self.outages += 1
        self._error = error
        outage = self.outage(time.monotonic())
        if outage is not None and seconds >= self._next_line:
            self._next_line = max(seconds + FIRST_LINE_SECONDS, 2 * seconds)
            self._tell(outage)
