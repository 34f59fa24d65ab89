"""What a cancel by alert id does in each state."""

import pytest

from broadcast.lifecycle import CANCEL_ANSWERS, AlertState, Transition, may_happen
from broadcast.lifecycle.references import EFFECTS, Effect, Standing
from schemas.alert import MsgType


def test_the_table_has_every_state_and_an_alert_that_is_not_planned() -> None:
    assert set(CANCEL_ANSWERS) == {None, *AlertState}


@pytest.mark.parametrize("state", AlertState)
def test_a_cancel_by_id_stops_at_least_what_a_cap_cancel_stops(state: AlertState) -> None:
    by_message = EFFECTS[Standing(state.value), MsgType.CANCEL]
    if by_message is Effect.WITHDRAW:
        assert CANCEL_ANSWERS[state].stops
        assert CANCEL_ANSWERS[state].state is AlertState.CANCELLED
        assert may_happen(state, Transition.CANCELLED)


@pytest.mark.parametrize("state", AlertState)
def test_a_stop_that_is_refused_has_nothing_left_to_stop(state: AlertState) -> None:
    if not CANCEL_ANSWERS[state].stops:
        assert EFFECTS[Standing(state.value), MsgType.CANCEL] is Effect.NOTHING
        assert CANCEL_ANSWERS[state].state is state
