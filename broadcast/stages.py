"""The stages of the system: their names, the order in which they start and stop, and how each is run."""

from typing import Final

STREAMS: Final = ("planner", "expander", "sender", "recorder")
"""Stages of `python -m streams`, in the order in which an alert passes them."""

API: Final = "api"

STAGES: Final = (*reversed(STREAMS), API)
"""Every stage, in the order of start: each finds those that take what it makes already there."""

STOP_ORDER: Final = ((API,), ("planner", "expander"), ("sender",), ("recorder",))
"""Groups of stages that stop together, in the order of their stop."""


USES_DATABASE: Final = {"planner": True, "expander": True, "recorder": True, API: False}
"""Stages that use PostgreSQL for their work, and whether they cannot go on without it."""


def arguments_of(stage: str) -> tuple[str, ...]:
    """What Python is called with to run a stage as a process."""
    return ("-m", "broadcast.api") if stage == API else ("-m", "streams", stage)
