"""The lane of an alert, from urgency, severity and certainty."""

from collections.abc import Iterable

from schemas.alert import Certainty, Info, Severity, Urgency
from schemas.lane import LANES, Lane

_U, _S, _C = Urgency, Severity, Certainty

_SOON = frozenset({_U.IMMEDIATE, _U.EXPECTED})
_GRAVE = frozenset({_S.EXTREME, _S.SEVERE})
_SURE = frozenset({_C.OBSERVED, _C.LIKELY})
_ANY_URGENCY, _ANY_SEVERITY, _ANY_CERTAINTY = frozenset(Urgency), frozenset(Severity), frozenset(Certainty)

LANE_OF = (
    # Imminent threat as wireless emergency alerts have it (47 CFR 10.400).
    (_SOON, _GRAVE, _SURE, Lane.IMMEDIATE),
    (_SOON, _ANY_SEVERITY, _ANY_CERTAINTY, Lane.PRIORITY),
    (_ANY_URGENCY, _GRAVE, _ANY_CERTAINTY, Lane.PRIORITY),
    (_ANY_URGENCY, _ANY_SEVERITY, _ANY_CERTAINTY, Lane.ROUTINE),
)
"""Lanes by (urgencies, severities, certainties); the first row that holds them decides."""


def lane_of_info(info: Info) -> Lane:
    """The lane that one info asks for."""
    return next(
        lane
        for urgencies, severities, certainties, lane in LANE_OF
        if info.urgency in urgencies and info.severity in severities and info.certainty in certainties
    )


def lane_of(infos: Iterable[Info]) -> Lane:
    """The most urgent lane that any of these infos asks for; `routine` without infos."""
    return min((lane_of_info(info) for info in infos), key=LANES.index, default=Lane.ROUTINE)
