"""The lanes: three classes of urgency that never queue behind one another."""

from enum import StrEnum


class Lane(StrEnum):
    """A lane of the pipeline, most urgent first in definition order."""

    IMMEDIATE = "immediate"
    PRIORITY = "priority"
    ROUTINE = "routine"


LANES: tuple[Lane, ...] = tuple(Lane)
