"""What a cancel by alert id does in each state."""

import pytest

from broadcast.lifecycle import CANCEL_ANSWERS, AlertState, Transition, may_happen, next_state
from broadcast.lifecycle.references import EFFECTS, Effect, Standing
from schemas.alert import MsgType


def test_the_table_has_every_state_and_an_alert_that_is_not_planned() -> None:
    assert set(CANCEL_ANSWERS) == {None, *AlertState}


@pytest.mark.parametrize("state", AlertState)
def test_a_cancel_by_id_stops_at_least_what_a_cap_cancel_stops(state: AlertState) -> None:
    by_message = EFFECTS[Standing(state.value), MsgType.CANCEL]
    if by_message is Effect.WITHDRAW:
        assert CANCEL_ANSWERS[state].stops
        assert may_happen(state, Transition.CANCELLED)


@pytest.mark.parametrize("state", AlertState)
def test_the_answer_names_the_state_that_the_planner_stores(state: AlertState) -> None:
    if may_happen(state, Transition.CANCELLED):
        assert CANCEL_ANSWERS[state].state is next_state(state, Transition.CANCELLED)
    else:
        assert CANCEL_ANSWERS[state].state is state


def test_a_completed_alert_stays_so_after_a_stop_and_an_update_of_it_is_sent() -> None:
    answer = CANCEL_ANSWERS[AlertState.COMPLETED]
    assert (answer.stops, answer.state) == (True, AlertState.COMPLETED)
    assert "publish an Update" in answer.words
    assert EFFECTS[Standing(answer.state.value), MsgType.UPDATE] is Effect.WITHDRAW


@pytest.mark.parametrize("state", AlertState)
def test_a_stop_that_is_refused_has_nothing_left_to_stop(state: AlertState) -> None:
    if not CANCEL_ANSWERS[state].stops:
        assert EFFECTS[Standing(state.value), MsgType.CANCEL] is Effect.NOTHING
        assert CANCEL_ANSWERS[state].state is state


def test_only_an_alert_that_was_refused_or_has_expired_is_not_stopped() -> None:
    refused = {state for state, answer in CANCEL_ANSWERS.items() if not answer.stops}
    assert refused == {AlertState.REFUSED, AlertState.EXPIRED}
