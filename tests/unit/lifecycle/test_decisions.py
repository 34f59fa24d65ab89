"""What each kind of message does: 5 statuses, 5 types, known and unknown references, senders, states."""

from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID, uuid4

import pytest

from broadcast.lifecycle import LIVE_STATES, Action, AlertState, Known, decide
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
    MsgType.UPDATE: (Action.REFUSE, Action.SUPERSEDE),
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
    assert all(bool(decision.reason) == (decision.action is Action.REFUSE) for decision in decisions)
    assert decisions[1].alert_ids == ((old.alert_id,) if decisions[1].action in ("supersede", "stop") else ())


@pytest.mark.parametrize("msg_type", [MsgType.UPDATE, MsgType.CANCEL])
@pytest.mark.parametrize("state", list(AlertState))
def test_only_live_alerts_are_withdrawn(msg_type: MsgType, state: AlertState) -> None:
    old = known(state=state)
    decision = decide(message(msg_type, old.reference), [old])
    if state in LIVE_STATES:
        assert decision.alert_ids == (old.alert_id,)
    else:
        assert decision.alert_ids == ()
        assert decision.action is (Action.STOP if msg_type is MsgType.CANCEL else Action.REFUSE)


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


def test_a_cancel_stops_what_is_known_and_says_what_is_not() -> None:
    old, unknown = known(), known("unknown")
    decision = decide(message(MsgType.CANCEL, unknown.reference, old.reference), [old])
    assert (decision.action, decision.alert_ids) == (Action.STOP, (old.alert_id,))
    assert "unknown" in decision.reason


def test_an_update_with_an_unknown_reference_is_refused() -> None:
    old, unknown = known(), known("unknown")
    decision = decide(message(MsgType.UPDATE, unknown.reference, old.reference), [old])
    assert decision.action is Action.REFUSE
    assert "unknown" in decision.reason


@pytest.mark.parametrize("msg_type", [MsgType.UPDATE, MsgType.CANCEL])
def test_only_the_sender_withdraws(msg_type: MsgType) -> None:
    old = known(sender="another")
    decision = decide(message(msg_type, old.reference), [old])
    assert (decision.action, decision.alert_ids) == (Action.REFUSE, ())
    assert "only the sender" in decision.reason


@pytest.mark.parametrize("msg_type", [MsgType.UPDATE, MsgType.CANCEL])
def test_a_drill_does_not_end_the_real_thing(msg_type: MsgType) -> None:
    old = known(status=Status.ACTUAL)
    decision = decide(message(msg_type, old.reference, status=Status.EXERCISE), [old])
    assert (decision.action, decision.alert_ids) == (Action.REFUSE, ())


def test_an_older_update_does_not_supersede_a_newer_alert() -> None:
    old = known(age_seconds=-60)
    assert decide(message(MsgType.UPDATE, old.reference), [old]).action is Action.REFUSE
    assert decide(message(MsgType.CANCEL, old.reference), [old]).alert_ids == (old.alert_id,)


def test_references_match_by_instant_however_written() -> None:
    old = known()
    written = str(old.reference).replace("23:59:00-00:00", "22:59:00-01:00")
    assert written != str(old.reference)
    alert = message(MsgType.CANCEL).model_copy(update={"references": written})
    assert decide(alert, [old]).alert_ids == (old.alert_id,)
