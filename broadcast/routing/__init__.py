"""Which route carries a message: the routes file, prefixes, and which CAP status may go where. Pure."""

from broadcast.routing.answers import ResendUnanswered
from broadcast.routing.faults import Fault, Places
from broadcast.routing.reading import NO_PLACES, Reading, RoutesError, check_routes, make_error, read_routes
from broadcast.routing.routes import Route
from broadcast.routing.simulation import Simulation, note_of, simulated_names, simulation_of
from broadcast.routing.smsc_account import Account, Tls
from broadcast.routing.table import NO_ROUTE, RouteTable

__all__ = [
    "NO_PLACES",
    "NO_ROUTE",
    "Account",
    "Fault",
    "Places",
    "Reading",
    "ResendUnanswered",
    "Route",
    "RouteTable",
    "RoutesError",
    "Simulation",
    "Tls",
    "check_routes",
    "make_error",
    "note_of",
    "read_routes",
    "simulated_names",
    "simulation_of",
]
