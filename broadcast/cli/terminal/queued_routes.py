"""The routes of the queued recipients of a watched alert: when they are read, and which of them are named."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

FEW: Final = 1_000
"""Up to so many queued recipients the routes are read at each look after the number has changed."""

Routes: TypeAlias = list[dict[str, Any]] | None
"""The routes of the queued recipients; None while the API cannot read its routes file."""


class QueuedRoutes:
    """The routes as `read` last gave them; the database reads numbers for that, so it is asked rarely.

    They are read when the first recipient is queued, when it is `due`, and after the number of the queued has changed:
    at once if they are few, else when it stays the same.
    """

    def __init__(self, read: Callable[[], Routes]) -> None:
        self._read = read
        self._read_at = self._looked_at = 0
        self.routes: Routes = []

    def look(self, queued: int, *, due: bool) -> Routes:
        """All routes of the last reading, while so many recipients are queued; reads them if that is worth it."""
        changed = queued != self._read_at and (queued <= FEW or queued == self._looked_at)
        if queued and (not self.routes or due or changed):
            self.routes, self._read_at = self._read(), queued
        elif not queued:
            self.routes, self._read_at = [], 0
        self._looked_at = queued
        return self.routes

    def name(self, queued: int) -> Routes:
        """Those that have somebody queued while so many are: where few are, more than the other routes had together.

        All of them where many are queued, or where they were read of a part of the alert.
        """
        if self.routes is None or not queued:
            return None if queued else []
        total = sum(route["queued"] for route in self.routes)
        return [
            route for route in self.routes if queued > FEW or not route["complete"] or queued > total - route["queued"]
        ]
