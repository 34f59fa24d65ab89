"""The whole matrix of states and transitions."""

from itertools import product

import pytest

from broadcast.lifecycle import (
    FINAL_STATES,
    LIVE_STATES,
    AlertState,
    Transition,
    TransitionError,
    may_happen,
    next_state,
)

MATRIX = """
                  submitted held             planned   refused approved  rejected returned cancelled expanded   finished   expired superseded
-                 accepted  -                -         -       -         -        -        -         -          -          -       -
accepted          -         pending_approval expanding refused -         -        -        cancelled -          -          expired superseded
pending_approval  -         -                -         -       expanding refused  refused  refused   -          -          expired superseded
expanding         -         -                -         refused -         -        -        cancelled sending    -          expired superseded
sending           -         -                -         -       -         -        -        cancelled -          completed  expired superseded
completed         -         -                -         -       -         -        -        completed -          -          -       superseded
refused           -         -                -         -       -         -        -        -         -          -          -       -
cancelled         -         -                -         -       -         -        -        cancelled cancelled  cancelled  -       -
expired           -         -                -         -       -         -        -        -         expired    expired    -       -
superseded        -         -                -         -       -         -        -        -         superseded superseded -       -
"""  # noqa: E501


def cells() -> list[tuple[AlertState | None, Transition, AlertState | None]]:
    header, *rows = [line.split() for line in MATRIX.strip().splitlines()]
    return [
        (None if row[0] == "-" else AlertState(row[0]), Transition(name), None if cell == "-" else AlertState(cell))
        for row in rows
        for name, cell in zip(header, row[1:], strict=True)
    ]


def test_the_matrix_has_every_cell() -> None:
    assert {(state, transition) for state, transition, _ in cells()} == set(product([None, *AlertState], Transition))


@pytest.mark.parametrize(("state", "transition", "expected"), cells())
def test_a_cell(state: AlertState | None, transition: Transition, expected: AlertState | None) -> None:
    assert may_happen(state, transition) == (expected is not None)
    if expected is not None:
        assert next_state(state, transition) is expected
        return
    with pytest.raises(TransitionError) as caught:
        next_state(state, transition)
    assert (caught.value.state, caught.value.transition) == (state, transition)
    assert f"cannot be {transition}" in str(caught.value)


def test_nothing_leads_from_a_final_state_back_to_sending() -> None:
    for state, _, following in cells():
        if state in FINAL_STATES and following is not None:
            assert following in FINAL_STATES


def test_live_states_are_those_that_can_be_superseded() -> None:
    assert {state for state in AlertState if may_happen(state, Transition.SUPERSEDED)} == LIVE_STATES
