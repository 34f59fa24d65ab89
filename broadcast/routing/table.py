"""Numbers to routes by longest prefix, and which CAP status a route may carry."""

from collections.abc import Mapping, Sequence

from broadcast.lifecycle.decisions import may_carry
from broadcast.routing.reading import RoutesError
from broadcast.routing.routes import Route
from schemas.alert import Status

NO_ROUTE = -1

_MEMO_LIMIT = 100_000


class RouteTable:
    """The routes, by index, and the route of each number.

    `Actual` and `Exercise` go by live routes as soon as there is one: a number that only a test route has then has
    no route, rather than a delivery that nobody received.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        for live in (True, False):
            _prefixes_of([(index, route) for index, route in enumerate(self.routes) if route.live is live])
        self._matchers = {status: _Matcher(self._prefixes_for(status)) for status in Status}

    def routes_of(self, msisdns: Sequence[str], status: Status | str) -> list[int]:
        """The index of each number's route for a CAP status, or `NO_ROUTE`. Numbers are E.164 with their plus sign."""
        matcher = self._matchers[Status(status)]
        length = matcher.length
        return [matcher[msisdn[:length]] for msisdn in msisdns]

    def route_of(self, msisdn: str, status: Status | str) -> Route | None:
        """The route of one number for a CAP status."""
        index = self.routes_of((msisdn,), status)[0]
        return None if index == NO_ROUTE else self.routes[index]

    def _prefixes_for(self, status: Status) -> Mapping[str, int]:
        return _prefixes_of(open_routes(self.routes, status))


def open_routes(routes: Sequence[Route], status: Status) -> list[tuple[int, Route]]:
    """The routes that may carry an alert of this CAP status, with their indexes.

    Where live ones may, no other one does.
    """
    found = [(index, route) for index, route in enumerate(routes) if may_carry(status, route.live)]
    return [(index, route) for index, route in found if route.live] or found


class _Matcher(dict[str, int]):
    # Maps the beginning of a number, as long as the longest prefix, to its route; filled as numbers come.

    def __init__(self, prefixes: Mapping[str, int]) -> None:
        super().__init__()
        self.prefixes = prefixes
        self.length = max(map(len, prefixes), default=0)

    def __missing__(self, head: str) -> int:
        if len(self) >= _MEMO_LIMIT:
            self.clear()
        for end in range(len(head), 0, -1):
            if head[:end] in self.prefixes:
                self[head] = self.prefixes[head[:end]]
                return self[head]
        self[head] = NO_ROUTE
        return NO_ROUTE


def _prefixes_of(routes: Sequence[tuple[int, Route]]) -> dict[str, int]:
    prefixes: dict[str, int] = {}
    owners: dict[str, str] = {}
    for index, route in routes:
        for prefix in route.prefixes:
            if prefix in owners:
                raise RoutesError(f"prefix {prefix!r} stands in route {owners[prefix]!r} and {route.name!r}; keep one")
            prefixes[prefix], owners[prefix] = index, route.name
    return prefixes
