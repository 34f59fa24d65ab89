"""What each kind of message does: 5 statuses, 5 types, known and unknown references, senders, states."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID, uuid4

import pytest

from broadcast.lifecycle import EFFECTS, LIVE_STATES, Action, AlertState, Effect, Known, Standing, decide
from schemas.alert import Alert, MsgType, Reference, Scope, Status

SENT = datetime(2030, 1, 1, tzinfo=UTC)


def message(
    msg_type: MsgType, *references: Reference, status: Status = Status.ACTUAL, sent: datetime = SENT, sender: str = "s"
) -> Alert:
    text = " ".join(map(str, references)) or ("s,other,2029-01-01T00:00:00-00:00" if msg_type != "Alert" else None)
    return Alert(
        identifier="new",
        sender=sender,
        sent=sent,
        status=status,
        msg_type=msg_type,
        scope=Scope.PUBLIC,
        references=text,
    )


def known(
    identifier: str = "old",
    state: AlertState = AlertState.SENDING,
    status: Status = Status.ACTUAL,
    sender: str = "s",
    alert_id: UUID | None = None,
    age_seconds: int = 60,
) -> Known:
    reference = Reference(sender=sender, identifier=identifier, sent=SENT - timedelta(seconds=age_seconds))
    return Known(alert_id or uuid4(), reference, state, status)


EXPECTED = {
    # msgType: (references unknown, references known)
    MsgType.ALERT: (Action.SEND, Action.SEND),
    MsgType.UPDATE: (Action.SUPERSEDE, Action.SUPERSEDE),
    MsgType.CANCEL: (Action.REFUSE, Action.STOP),
    MsgType.ACK: (Action.REFUSE, Action.REFUSE),
    MsgType.ERROR: (Action.REFUSE, Action.REFUSE),
}


@pytest.mark.parametrize(("status", "msg_type"), list(product(Status, MsgType)))
def test_the_matrix_of_status_and_type(status: Status, msg_type: MsgType) -> None:
    old = known(status=status)
    decisions = [decide(message(msg_type, old.reference, status=status), entries) for entries in ((), (old,))]
    sendable = status in (Status.ACTUAL, Status.EXERCISE, Status.TEST)
    expected = EXPECTED[msg_type] if sendable else (Action.REFUSE, Action.REFUSE)
    assert tuple(decision.action for decision in decisions) == expected
    assert all(decision.reason for decision in decisions if decision.action is Action.REFUSE)
    assert decisions[1].action in (Action.REFUSE, Action.STOP) or not decisions[1].reason
    assert decisions[1].alert_ids == ((old.alert_id,) if decisions[1].action in ("supersede", "stop") else ())


def test_the_table_of_references_is_complete() -> None:
    later = {Standing.SENT_LATER, Standing.REPLACED_LATER}
    of_cancels = {Standing.REPLACED_LIVE}
    assert {standing for standing, msg_type in EFFECTS if msg_type is MsgType.UPDATE} == set(Standing) - of_cancels
    assert {standing for standing, msg_type in EFFECTS if msg_type is MsgType.CANCEL} == set(Standing) - later
    assert {state.value for state in AlertState} <= {standing.value for standing in Standing}
    for msg_type in (MsgType.UPDATE, MsgType.CANCEL):
        withdrawn = {s for s in AlertState if EFFECTS[Standing(s.value), msg_type] is Effect.WITHDRAW}
        assert withdrawn == LIVE_STATES


@pytest.mark.parametrize(
    ("state", "action"),
    [
        (AlertState.ACCEPTED, Action.SUPERSEDE),
        (AlertState.EXPANDING, Action.SUPERSEDE),
        (AlertState.SENDING, Action.SUPERSEDE),
        (AlertState.COMPLETED, Action.SUPERSEDE),
        (AlertState.REFUSED, Action.SUPERSEDE),
        (AlertState.EXPIRED, Action.SUPERSEDE),
        (AlertState.SUPERSEDED, Action.SUPERSEDE),
        (AlertState.CANCELLED, Action.REFUSE),
    ],
)
def test_an_update_is_sent_unless_somebody_stopped_what_it_names(state: AlertState, action: Action) -> None:
    old = known(state=state)
    decision = decide(message(MsgType.UPDATE, old.reference), [old])
    assert decision.action is action
    assert decision.alert_ids == ((old.alert_id,) if state in LIVE_STATES else ())
    assert bool(decision.reason) == (action is Action.REFUSE)


@pytest.mark.parametrize("state", list(AlertState))
def test_a_cancel_stops_only_what_is_live(state: AlertState) -> None:
    old = known(state=state)
    decision = decide(message(MsgType.CANCEL, old.reference), [old])
    assert decision.action is Action.STOP
    assert decision.alert_ids == ((old.alert_id,) if state in LIVE_STATES else ())


def test_an_update_whose_alert_was_replaced_by_a_later_one_is_refused() -> None:
    old = replace(known(state=AlertState.SUPERSEDED), replaced_at=SENT + timedelta(seconds=1))
    decision = decide(message(MsgType.UPDATE, old.reference), [old])
    assert (decision.action, "has replaced" in decision.reason) == (Action.REFUSE, True)
    for earlier in (timedelta(0), timedelta(seconds=1)):
        replaced = replace(old, replaced_at=SENT - earlier)
        assert decide(message(MsgType.UPDATE, old.reference), [replaced]).action is Action.SUPERSEDE


def test_a_cancel_of_what_a_later_update_replaced_stops_nothing_and_is_no_fault() -> None:
    old = replace(known(state=AlertState.SUPERSEDED), replaced_at=SENT + timedelta(seconds=1))
    decision = decide(message(MsgType.CANCEL, old.reference), [old])
    assert (decision.action, decision.alert_ids) == (Action.STOP, ())


def test_of_several_references_one_that_was_cancelled_holds_the_update_unless_another_lives() -> None:
    cancelled, expired, live = known("a", AlertState.CANCELLED), known("b", AlertState.EXPIRED), known("c")
    update = message(MsgType.UPDATE, cancelled.reference, expired.reference, live.reference)
    assert decide(update, [cancelled, expired, live]).alert_ids == (live.alert_id,)
    without = message(MsgType.UPDATE, cancelled.reference, expired.reference)
    assert decide(without, [cancelled, expired]).action is Action.REFUSE


def test_a_chain_with_members_that_ended_is_accepted() -> None:
    first, second = known("a", AlertState.SUPERSEDED, age_seconds=120), known("b", AlertState.SENDING)
    for msg_type, action in ((MsgType.UPDATE, Action.SUPERSEDE), (MsgType.CANCEL, Action.STOP)):
        decision = decide(message(msg_type, first.reference, second.reference), [first, second])
        assert (decision.action, decision.alert_ids) == (action, (second.alert_id,))


@pytest.mark.parametrize("msg_type", [MsgType.UPDATE, MsgType.CANCEL])
@pytest.mark.parametrize("order", [1, -1])
def test_a_namesake_that_was_refused_does_not_hide_the_alert_that_lives(msg_type: MsgType, order: int) -> None:
    alive, refused = known(), known(state=AlertState.REFUSED)
    decision = decide(message(msg_type, alive.reference), [alive, refused][::order])
    assert decision.alert_ids == (alive.alert_id,)


@pytest.mark.parametrize("msg_type", [MsgType.UPDATE, MsgType.CANCEL])
def test_a_namesake_of_another_status_that_was_refused_does_not_protect_the_alert_that_lives(msg_type: MsgType) -> None:
    alive, refused = known(), known(state=AlertState.REFUSED, status=Status.TEST)
    assert decide(message(msg_type, alive.reference), [refused, alive]).alert_ids == (alive.alert_id,)
    decision = decide(message(msg_type, refused.reference), [refused])
    assert (decision.action, "whose status is Test" in decision.reason) == (Action.REFUSE, True)


def test_a_cancel_of_what_has_ended_and_of_what_is_not_known_says_which_is_not() -> None:
    ended, unknown = known(state=AlertState.EXPIRED), known("unknown")
    decision = decide(message(MsgType.CANCEL, unknown.reference, ended.reference), [ended])
    assert (decision.action, decision.alert_ids) == (Action.STOP, ())
    assert f"{unknown.reference}: is not known here" in decision.reason


def test_a_cancel_stops_what_is_known_and_says_what_is_not() -> None:
    old, unknown = known(), known("unknown")
    decision = decide(message(MsgType.CANCEL, unknown.reference, old.reference), [old])
    assert (decision.action, decision.alert_ids) == (Action.STOP, (old.alert_id,))
    assert "unknown" in decision.reason


def test_an_update_with_an_unknown_reference_is_sent_and_the_reference_remembered() -> None:
    old, unknown = known(), known("unknown")
    decision = decide(message(MsgType.UPDATE, unknown.reference, old.reference), [old])
    assert (decision.action, decision.alert_ids) == (Action.SUPERSEDE, (old.alert_id,))
    assert decision.remembered == (unknown.reference.alert_id,)
    assert "unknown" in decision.reason


@pytest.mark.parametrize("msg_type", [MsgType.UPDATE, MsgType.CANCEL])
def test_only_the_sender_withdraws(msg_type: MsgType) -> None:
    old = known(sender="another")
    decision = decide(message(msg_type, old.reference), [old])
    assert (decision.action, decision.alert_ids) == (Action.REFUSE, ())
    assert "only the sender" in decision.reason
    advice = "publish it as an Alert" if msg_type is MsgType.UPDATE else f"`broadcast alert cancel {old.alert_id}`"
    assert advice in decision.reason
    unknown = decide(message(msg_type, old.reference)).reason
    assert ("`broadcast alert cancel ID`" in unknown) is (msg_type is MsgType.CANCEL)


@pytest.mark.parametrize("msg_type", [MsgType.UPDATE, MsgType.CANCEL])
def test_a_drill_does_not_end_the_real_thing(msg_type: MsgType) -> None:
    old = known(status=Status.ACTUAL)
    decision = decide(message(msg_type, old.reference, status=Status.EXERCISE), [old])
    assert (decision.action, decision.alert_ids) == (Action.REFUSE, ())


def test_an_older_update_does_not_supersede_a_newer_alert() -> None:
    old = known(age_seconds=-60)
    assert decide(message(MsgType.UPDATE, old.reference), [old]).action is Action.REFUSE
    assert decide(message(MsgType.CANCEL, old.reference), [old]).alert_ids == (old.alert_id,)
    same_instant = known(age_seconds=0)
    assert decide(message(MsgType.UPDATE, same_instant.reference), [same_instant]).alert_ids == (same_instant.alert_id,)


def test_references_match_by_instant_however_written() -> None:
    old = known()
    written = str(old.reference).replace("23:59:00-00:00", "22:59:00-01:00")
    assert written != str(old.reference)
    alert = message(MsgType.CANCEL).model_copy(update={"references": written})
    assert decide(alert, [old]).alert_ids == (old.alert_id,)
