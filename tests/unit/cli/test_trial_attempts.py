"""What `test-send` says of each attempt: account, answer in words, the SMSC's message id, and the next step."""

from typing import Any

from broadcast.cli.terminal.trial_attempts import (
    MEANINGS,
    NEXT_STEPS,
    describe_attempts,
    describe_stay,
    find_attempts,
)
from schemas.status import DeliveryState

AT = "2026-01-02T03:04:05Z"


def event(kind: str, **facts: Any) -> dict[str, Any]:
    return {"at": AT, "kind": kind, "facts": facts, "source": {}, "raw": ""}


REFUSED = event("status", attempt=1, account="first", outcome="refused_for_now", error=0x58)
EXPLAINED = event(
    "status",
    attempt=1,
    account="first",
    outcome="refused",
    error=0x0A,
    reason="ESME_RINVSRCADR: the sender is not valid",
)
ACCEPTED = event("status", attempt=2, account="second", outcome="accepted", message_id="4711")
RECEIPT = event("receipt", account="second", message_id="4711", state="delivered")


def test_each_attempt_is_named_with_account_answer_in_words_and_message_id() -> None:
    attempts = find_attempts([event("audience", chunk=0), REFUSED, ACCEPTED, RECEIPT])
    assert list(describe_attempts(attempts)) == [
        "attempt 1 by account first: refused_for_now: ESME_RTHROTTLED: the rate of submits is too high "
        "(command_status 0x00000058)",
        "attempt 2 by account second: accepted, SMSC message id 4711",
        "receipt by account second: delivered, SMSC message id 4711",
    ]
    assert attempts[0]["command_status"] == "0x00000058"
    assert attempts[1] == {
        "kind": "answer",
        "at": AT,
        "attempt": 2,
        "account": "second",
        "outcome": "accepted",
        "message_id": "4711",
    }


def test_the_bind_is_named_where_the_audit_has_it() -> None:
    accepted = event("status", attempt=1, account="first", bind="tx0", outcome="accepted", message_id="4711")
    assert list(describe_attempts(find_attempts([accepted]))) == [
        "attempt 1 by account first, bind tx0: accepted, SMSC message id 4711"
    ]


def test_the_reason_of_the_audit_goes_before_the_table() -> None:
    [line] = describe_attempts(find_attempts([EXPLAINED]))
    assert line == (
        "attempt 1 by account first: refused: ESME_RINVSRCADR: the sender is not valid (command_status 0x0000000A)"
    )


def test_without_an_account_the_reason_is_given() -> None:
    failed = event("status", attempt=1, outcome="failed", reason="no route carries this number with this status")
    assert list(describe_attempts(find_attempts([failed]))) == [
        "attempt 1 without an account: failed: no route carries this number with this status"
    ]


def test_each_state_has_words() -> None:
    assert MEANINGS.keys() == {state.value for state in DeliveryState}


def test_each_state_that_is_not_delivered_has_a_next_step() -> None:
    assert NEXT_STEPS.keys() == {state.value for state in DeliveryState} - {"delivered"}


def test_a_message_that_waits_is_not_to_be_sent_again_and_says_until_when_it_waits() -> None:
    assert describe_stay("2026-01-02T04:04:05+01:00") == (
        "it stays, and is sent as soon as an account works, until 03:04:05 UTC: do not send it again"
    )
    assert "until it expires: do not send it again" in describe_stay(None)
    assert MEANINGS["queued"] not in NEXT_STEPS["queued"], "the next step does not repeat the meaning"
