"""Whether an alert reaches phones, or simulators only, by the routes that may carry it. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from broadcast.routing.routes import Route
from broadcast.routing.table import open_routes
from schemas.alert import Status


class Simulation(StrEnum):
    """How much of an alert's way is simulated."""

    NONE = "none"
    """Every route that may carry it leads to phones."""
    PARTLY = "partly"
    """Some routes lead to phones, others to a simulator."""
    ALL = "all"
    """No route that may carry it leads to a phone."""


NOTES: Final[Mapping[Simulation, str]] = {
    Simulation.NONE: "",
    Simulation.PARTLY: "PARTLY SIMULATED: by simulated routes no phone was reached",
    Simulation.ALL: "SIMULATED: no phone was reached",
}
"""What people are told wherever they see how far an alert has come."""


def note_of(simulated: str | None) -> str:
    """The note for an alert's `simulated`; empty where phones are reached, or where nothing is decided yet."""
    return NOTES[Simulation(simulated)] if simulated else ""


def simulation_of(routes: Sequence[Route], status: Status) -> Simulation:
    """How much of the way of an alert of this CAP status is simulated."""
    kinds = {route.simulated for _, route in open_routes(routes, status)}
    if kinds == {True}:
        return Simulation.ALL
    return Simulation.PARTLY if True in kinds else Simulation.NONE


def simulated_names(routes: Sequence[Route], status: Status) -> list[str]:
    """The names of the simulated routes that may carry an alert of this CAP status."""
    return [route.name for _, route in open_routes(routes, status) if route.simulated]
