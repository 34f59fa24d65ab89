"""What a CAP Cancel says of each alert that it names, and when it counts as one that stopped nothing."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from broadcast.lifecycle import CANCEL_ANSWERS, LIVE_STATES, Action, AlertState, Known, Successor, decide
from schemas.alert import Alert, MsgType, Reference, Scope, Status

SENT = datetime(2030, 1, 1, tzinfo=UTC)


def cancel(*named: Known, unknown: str = "") -> Alert:
    references = [*(str(each.reference) for each in named), *([unknown] if unknown else [])]
    return Alert(
        identifier="cancel",
        sender="s",
        sent=SENT,
        status=Status.ACTUAL,
        msg_type=MsgType.CANCEL,
        scope=Scope.PUBLIC,
        references=" ".join(references),
    )


def name(identifier: str, age_seconds: int = 60) -> Reference:
    return Reference(sender="s", identifier=identifier, sent=SENT - timedelta(seconds=age_seconds))


def known(identifier: str, state: AlertState, *successors: Successor) -> Known:
    return Known(uuid4(), name(identifier), state, Status.ACTUAL, successors=successors)


def update(state: AlertState, *, stopped: bool = False, identifier: str = "update") -> Successor:
    return Successor(uuid4(), name(identifier, 30), state, stopped=stopped)


UNKNOWN = "s,unknown,2029-12-31T00:00:00-00:00"


@pytest.mark.parametrize("state", sorted(LIVE_STATES))
def test_a_cancel_of_what_an_update_replaced_that_is_still_on_its_way_is_refused_and_names_it(
    state: AlertState,
) -> None:
    successor = update(state)
    old = known("old", AlertState.SUPERSEDED, successor)
    decision = decide(cancel(old), [old])
    assert (decision.action, decision.alert_ids) == (Action.REFUSE, ())
    assert decision.reason.startswith(f"stopped nothing: {old.reference}: was replaced by Update {successor.reference}")
    assert f"is still {state}" in decision.reason or state is AlertState.COMPLETED
    assert f"`broadcast alert cancel {successor.alert_id}`" in decision.reason


@pytest.mark.parametrize("state", AlertState)
def test_an_update_that_has_ended_is_no_reason_to_refuse_the_cancel(state: AlertState) -> None:
    successor = update(state, stopped=state in LIVE_STATES)
    old = known("old", AlertState.SUPERSEDED, successor)
    decision = decide(cancel(old), [old])
    assert (decision.action, decision.alert_ids, decision.left) == (Action.STOP, (), ())
    assert decision.reason.startswith(f"stopped nothing: {old.reference}: an Update had replaced it")


def test_a_cancel_of_a_whole_chain_stops_the_update_and_says_nothing_of_a_rest() -> None:
    live = known("update", AlertState.SENDING)
    old = known("old", AlertState.SUPERSEDED, Successor(live.alert_id, live.reference, live.state, stopped=False))
    decision = decide(cancel(old, live), [old, live])
    assert (decision.action, decision.alert_ids, decision.left) == (Action.STOP, (live.alert_id,), ())
    assert "stopped nothing" not in decision.reason


def test_a_cancel_that_stops_one_alert_and_not_the_update_of_another_says_what_is_left() -> None:
    successor = update(AlertState.SENDING)
    live, old = known("live", AlertState.EXPANDING), known("old", AlertState.SUPERSEDED, successor)
    decision = decide(cancel(old, live), [old, live])
    assert (decision.action, decision.alert_ids) == (Action.STOP, (live.alert_id,))
    assert decision.left == (successor.alert_id,)
    assert decision.reason.startswith(f"{old.reference}: was replaced by Update")
    assert f"{live.reference}: {CANCEL_ANSWERS[live.state].words}" in decision.reason


@pytest.mark.parametrize("state", AlertState)
def test_a_cancel_message_says_of_each_state_what_a_cancel_by_id_says(state: AlertState) -> None:
    old = known("old", state)
    decision = decide(cancel(old), [old])
    begin = "" if state in LIVE_STATES else "stopped nothing: "
    assert decision.reason == f"{begin}{old.reference}: {CANCEL_ANSWERS[state].words}"
    assert "written again" not in decision.reason


def test_alerts_of_which_the_same_is_said_are_named_together_and_unknown_ones_come_first() -> None:
    ended = [known(f"ended-{number}", AlertState.EXPIRED) for number in range(2)]
    decision = decide(cancel(*ended, unknown=UNKNOWN), ended)
    assert (decision.action, decision.alert_ids) == (Action.STOP, ())
    both = " ".join(str(each.reference) for each in ended)
    words = CANCEL_ANSWERS[AlertState.EXPIRED].words
    assert (
        decision.reason
        == f"stopped nothing: {UNKNOWN}: is not known here; check sender,identifier,sent. {both}: {words}"
    )


def test_of_many_alerts_a_few_are_named_and_the_rest_counted() -> None:
    many = [known(f"many-{number}", AlertState.EXPIRED) for number in range(500)]
    reason = decide(cancel(*many), many).reason
    assert "and 490 more: " in reason
    assert len(reason) < 1_000
