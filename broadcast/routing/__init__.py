"""Which route carries a message: the routes file, prefixes, and which CAP status may go where. Pure."""

from broadcast.routing.reading import RoutesError, read_routes
from broadcast.routing.routes import Route
from broadcast.routing.smsc_account import Account, Tls, UnknownPolicy
from broadcast.routing.table import NO_ROUTE, RouteTable

__all__ = [
    "NO_ROUTE",
    "Account",
    "Route",
    "RouteTable",
    "RoutesError",
    "Tls",
    "UnknownPolicy",
    "read_routes",
]
