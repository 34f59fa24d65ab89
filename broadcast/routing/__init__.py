"""Which route carries a message: the routes file, prefixes, and which CAP status may go where. Pure."""

from broadcast.routing.answers import ResendUnanswered
from broadcast.routing.faults import Fault
from broadcast.routing.reading import Reading, RoutesError, check_routes, make_error, read_routes
from broadcast.routing.routes import Route
from broadcast.routing.smsc_account import Account, Tls
from broadcast.routing.table import NO_ROUTE, RouteTable

__all__ = [
    "NO_ROUTE",
    "Account",
    "Fault",
    "Reading",
    "ResendUnanswered",
    "Route",
    "RouteTable",
    "RoutesError",
    "Tls",
    "check_routes",
    "make_error",
    "read_routes",
]
