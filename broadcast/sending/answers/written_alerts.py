"""When alerts were written, as far as known: a receipt may be of an older alert to that number."""

from typing import Final

from broadcast.sending.answers.receipt_match import (
    EAST_SECONDS,
    WEST_SECONDS,
    ZONE_SECONDS,
    seconds_apart,
)
from broadcast.sending.control import ControlView

ALERTS_LIMIT: Final = 1_000
"""Alerts, each of one account, whose writes are kept; beyond it the oldest are not known."""

CONFUSABLE_MS: Final = (WEST_SECONDS + EAST_SECONDS) * 1000
"""A write so long ago can have the date of a write of now, in another time zone."""

MARGIN_SECONDS: Final = 60.0
"""Two writes that are further apart have no submit date that fits both, even by a clock that is half a minute wrong."""

SEEN_MARGIN_MS: Final = 60_000
"""An alert that this process saw so soon after an instant may have been written by another process before it."""

_CACHE_LIMIT: Final = 1_000


class WrittenAlerts:
    """The first and the last write of each alert by each account, in milliseconds since the epoch."""

    def __init__(self, view: ControlView) -> None:
        self._view: Final = view
        self._written: Final[dict[tuple[str, str], tuple[int, int]]] = {}
        self._alone_since: int | None = None
        self._cache: Final[dict[tuple[str, int, int], bool]] = {}

    def note_alone(self, since: int | None) -> None:
        """Only this process writes for the route since an instant; None while others may write."""
        self._alone_since = since
        self._cache.clear()

    def note(self, account: str, alert_id: str, at: int) -> None:
        """Jobs of an alert were written by an account."""
        key = account, alert_id
        if key not in self._written and len(self._written) >= ALERTS_LIMIT:
            _, last = self._written.pop(next(iter(self._written)))
            if self._alone_since is not None:
                # What this process forgets is as if another had written it.
                self.note_alone(max(self._alone_since, last))
        first, _ = self._written.get(key, (at, 0))
        self._written[key] = first, at

    def may_be_other(self, account: str, alert_id: str, written_at: int) -> bool:
        """Whether a receipt that fits a write of an alert may be of another alert as well."""
        return self._wrote_other(account, alert_id, written_at) or self._may_not_know_other(alert_id, written_at)

    def _wrote_other(self, account: str, alert_id: str, written_at: int) -> bool:
        return any(
            name == account and other != alert_id and _conflict(first, last, written_at)
            for (name, other), (first, last) in self._written.items()
        )

    def _may_not_know_other(self, alert_id: str, written_at: int) -> bool:
        """Whether another process may have written another alert in the time that matters."""
        since = self._alone_since
        if since is not None and since <= written_at - CONFUSABLE_MS:
            return False
        controls, seen = self._view.controls, self._view.seen
        key = alert_id, written_at, len(controls)
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= _CACHE_LIMIT:
                self._cache.clear()
            found = self._cache[key] = any(
                other != alert_id
                and control.expires_at > written_at - CONFUSABLE_MS
                and (since is None or seen.get(other, 0) < since + SEEN_MARGIN_MS)
                for other, control in controls.items()
            )
        return found


def _conflict(first: int, last: int, written_at: int) -> bool:
    """Whether an alert that was written from `first` to `last` may have a receipt that fits the other write.

    One written in the quarter of an hour before always may, because a clock that is a minute wrong makes its date fit.
    """
    if first > written_at + MARGIN_SECONDS * 1000 or last < written_at - CONFUSABLE_MS - MARGIN_SECONDS * 1000:
        return False
    if last - first >= ZONE_SECONDS * 1000 or last >= written_at - ZONE_SECONDS * 1000:
        return True
    # Shorter than a quarter of an hour: it holds the instant in another zone, or one of its ends is near.
    holds = (written_at - first) % (ZONE_SECONDS * 1000) <= last - first
    return holds or any(seconds_apart(end / 1000, written_at / 1000) <= MARGIN_SECONDS for end in (first, last))
