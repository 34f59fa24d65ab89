"""Which shares of failed and unreached submits are an alarm."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.audit.codes import CODE_OF_OUTCOME, CODE_OF_RECEIPT
from broadcast.audit.outcomes.outcome_counts import (
    LAST_SLOT,
    SLOT_SECONDS,
    Counted,
    OutcomeCounts,
    OutcomeKey,
    slot_at,
    slot_of,
)
from broadcast.audit.outcomes.shares import (
    ENOUGH,
    Limits,
    Scope,
    Tally,
    WatchedAccount,
    add_up,
    assess,
    describe,
)
from schemas.receipt import ReceiptState
from schemas.status import Outcome

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LIMITS = Limits(0.2, 0.4, 40)
ALERT = "11111111-1111-4111-8111-111111111111"
ACCOUNTS = {
    1: WatchedAccount("a", "north"),
    2: WatchedAccount("b", "north"),
    3: WatchedAccount("quiet", "quiet", False),
}
RINVDSTADR = 0x0B


def submits(count: int, outcome: Outcome, *, ago: float = 60, account: int = 1, error: int = 0) -> OutcomeCounts:
    slot = slot_at(NOW - timedelta(seconds=ago))
    return Counter({OutcomeKey(ALERT, account, slot, Counted.SUBMIT, CODE_OF_OUTCOME[outcome], str(error)): count})


def receipts(count: int, state: ReceiptState, *, ago: float = 60, account: int = 1, error: str = "") -> OutcomeCounts:
    [submit] = submits(1, Outcome.ACCEPTED, ago=ago, account=account)
    return Counter({submit.of_receipt(CODE_OF_RECEIPT[state], error): count})


def tallies(*counts: OutcomeCounts, scope: Scope = Scope.ALERT, cleared: datetime | None = None) -> dict[str, Tally]:
    items = [item for each in counts for item in each.items()]
    since = {} if cleared is None else {ALERT: cleared}
    return add_up(items, scope, now=NOW, limits=LIMITS, accounts=ACCOUNTS, cleared=since)


def is_failing(*counts: OutcomeCounts) -> bool:
    return assess(tallies(*counts)[ALERT], Scope.ALERT, LIMITS, NOW).failing


def test_a_hundred_refused_submits_are_an_alarm_at_once() -> None:
    assert is_failing(submits(ENOUGH, Outcome.REFUSED, ago=1, error=RINVDSTADR))
    assert not is_failing(submits(ENOUGH - 1, Outcome.REFUSED, ago=1, error=RINVDSTADR))


def test_a_small_alert_is_judged_within_its_first_minute() -> None:
    assert not is_failing(submits(1, Outcome.REFUSED, ago=40))
    assert is_failing(submits(1, Outcome.REFUSED, ago=55))


def test_undelivered_receipts_are_an_alarm_as_soon_as_they_come() -> None:
    accepted = submits(200, Outcome.ACCEPTED, ago=2)
    assert not is_failing(accepted)
    assert not is_failing(accepted, receipts(40, ReceiptState.UNDELIVERABLE, ago=2))
    assert is_failing(accepted, receipts(41, ReceiptState.UNDELIVERABLE, ago=2))


def test_receipts_that_do_not_come_are_an_alarm_once_they_are_due() -> None:
    assert not is_failing(submits(500, Outcome.ACCEPTED, ago=35))
    assert is_failing(submits(500, Outcome.ACCEPTED, ago=45))
    assert is_failing(submits(500, Outcome.UNKNOWN, ago=45))
    assert is_failing(submits(500, Outcome.ACCEPTED, ago=45), receipts(500, ReceiptState.ENROUTE, ago=45))


def test_phones_that_are_switched_off_are_no_alarm() -> None:
    assert not is_failing(submits(1_000, Outcome.ACCEPTED), receipts(850, ReceiptState.DELIVERED))


def test_recent_receipts_do_not_hide_old_ones_that_are_missing() -> None:
    old = submits(1_000, Outcome.ACCEPTED), receipts(500, ReceiptState.DELIVERED)
    recent = submits(9_000, Outcome.ACCEPTED, ago=3), receipts(4_500, ReceiptState.DELIVERED, ago=3)
    assert is_failing(*old, *recent)


def test_an_account_that_asks_for_no_receipts_misses_none() -> None:
    assert not is_failing(submits(500, Outcome.ACCEPTED, account=3))


def test_what_was_submitted_before_an_alarm_was_cleared_raises_it_no_more() -> None:
    refused = submits(500, Outcome.REFUSED, ago=60)
    assert tallies(refused, cleared=NOW - timedelta(seconds=30)) == {}
    assert ALERT in tallies(refused, cleared=NOW - timedelta(seconds=90))


def test_accounts_of_one_operator_are_judged_together_and_each_by_itself() -> None:
    good = submits(300, Outcome.ACCEPTED, ago=1), receipts(300, ReceiptState.DELIVERED, ago=1)
    bad = submits(60, Outcome.REFUSED, ago=1, account=2)
    by_account, by_operator = tallies(*good, bad, scope=Scope.ACCOUNT), tallies(*good, bad, scope=Scope.OPERATOR)
    assert by_account["b"].failed_share == 1
    assert by_operator["north"].submits == 360
    # Fewer than enough of one account are none of its own.
    assert not assess(by_account["b"], Scope.ACCOUNT, LIMITS, NOW).failing


def test_the_detail_says_share_counts_reason_and_account() -> None:
    refused = submits(180, Outcome.REFUSED, error=RINVDSTADR)
    detail = describe(tallies(refused, submits(20, Outcome.ACCEPTED))[ALERT], LIMITS)
    assert "180 of 200 submits were refused, not sent or reported undelivered (90%, limit 20%)" in detail
    assert "Most frequent: refused: ESME_RINVDSTADR 180" in detail
    assert "Accounts: a 200" in detail
    undelivered = receipts(150, ReceiptState.UNDELIVERABLE, error="011")
    detail = describe(tallies(submits(200, Outcome.ACCEPTED), undelivered)[ALERT], LIMITS)
    assert "receipt undeliverable, error 011 150" in detail
    assert "200 of 200 submits have no receipt that says delivered after 40 s" in detail
    assert "50 have none at all" in detail


def test_a_receipt_that_replaces_another_counts_once() -> None:
    first = receipts(1_000, ReceiptState.UNDELIVERABLE, error="001")
    replaced = receipts(-1_000, ReceiptState.UNDELIVERABLE)
    tally = tallies(submits(1_000, Outcome.ACCEPTED), first, replaced, receipts(1_000, ReceiptState.DELIVERED))[ALERT]
    assert (tally.failed, tally.unreached) == (0, 0)


@given(
    st.integers(0, 5_000),
    st.integers(0, 5_000),
    st.integers(0, 5_000),
    st.floats(0.01, 1),
    st.floats(0.01, 1),
)
def test_an_alarm_is_never_fine_and_more_delivered_is_never_worse(
    delivered: int, undelivered: int, missing: int, failed_share: float, unreached_share: float
) -> None:
    limits = Limits(failed_share, unreached_share, 40)

    def assessed(more: int) -> tuple[bool, bool]:
        total = delivered + more + undelivered + missing
        counts = (
            submits(total, Outcome.ACCEPTED),
            receipts(delivered + more, ReceiptState.DELIVERED),
            receipts(undelivered, ReceiptState.UNDELIVERABLE),
        )
        return tuple(assess(tallies(*counts)[ALERT], Scope.ALERT, limits, NOW))  # type: ignore[return-value]

    failing, fine = assessed(0)
    assert not (failing and fine)
    if not failing:
        assert not assessed(1_000)[0]


def watched(
    submits: int,
    failed: int = 0,
    old: int | None = None,
    unreached: int = 0,
    *,
    scope: Scope = Scope.ALERT,
    first_ago: float = 0,
) -> tuple[bool, bool]:
    """Failing and fine, of what had its first submit so many seconds ago."""
    old = submits if old is None else old
    first = slot_at(NOW - timedelta(seconds=first_ago))
    tally = Tally(first_slot=first, submits=submits, failed=failed, old=old, old_delivered=old - unreached)
    failing, fine = assess(tally, scope, LIMITS, NOW)
    return failing, fine


FAILING, FINE, NEITHER = (True, False), (False, True), (False, False)


@pytest.mark.parametrize(
    ("failed", "unreached", "expected"),
    [
        (21, 0, FAILING),
        (20, 0, NEITHER),
        (16, 0, NEITHER),
        (15, 0, FINE),
        (0, 41, FAILING),
        (0, 40, NEITHER),
        (0, 31, NEITHER),
        (0, 30, FINE),
        (15, 31, NEITHER),
        (16, 30, NEITHER),
    ],
)
def test_an_alarm_begins_above_its_limit_and_ends_at_three_quarters_of_it(
    failed: int, unreached: int, expected: tuple[bool, bool]
) -> None:
    assert watched(100, failed, unreached=unreached) == expected


def test_what_is_due_is_assessed_from_a_hundred_on_however_many_were_submitted() -> None:
    assert watched(500, old=99, unreached=99) == NEITHER
    assert watched(500, old=100, unreached=100) == FAILING
    assert watched(500, old=99) == NEITHER, "too few to say that they arrive"
    assert watched(99, 99) == NEITHER


def test_a_small_alert_is_assessed_from_fifty_seconds_after_its_first_submit() -> None:
    assert watched(1, 1, first_ago=45) == NEITHER
    assert watched(1, 1, first_ago=50) == FAILING
    assert watched(1, 0, unreached=1, first_ago=50) == FAILING
    assert watched(1, 0, old=0, first_ago=50) == NEITHER
    assert watched(1, 0, first_ago=50) == FINE
    for scope in (Scope.ACCOUNT, Scope.OPERATOR):
        assert watched(99, 99, scope=scope, first_ago=600) == NEITHER, "there chance alone makes a large share"
        assert watched(100, 100, scope=scope, first_ago=600) == FAILING
    later, first = submits(1, Outcome.REFUSED, ago=10), submits(1, Outcome.REFUSED, ago=55)
    assert is_failing(later, first)
    assert is_failing(first, later)


def test_a_submit_counts_by_its_slot_of_five_seconds() -> None:
    assert [slot_of(milliseconds) for milliseconds in (0, 4_999, 5_000)] == [0, 0, 1]
    assert slot_at(NOW) == slot_of(int(NOW.timestamp() * 1000)) == slot_at(NOW + timedelta(seconds=4.9))
    year_10000 = 253_402_300_799_999
    assert slot_of(year_10000) == LAST_SLOT == 2**31 - 1
    assert slot_of((LAST_SLOT - 1) * SLOT_SECONDS * 1000) == LAST_SLOT - 1
    accepted = submits(500, Outcome.ACCEPTED, ago=40)
    assert tallies(accepted)[ALERT].old == 0, "the slot in which receipts are due is not over"
    assert tallies(accepted, submits(7, Outcome.ACCEPTED, ago=45))[ALERT].old == 7
    refused = submits(500, Outcome.REFUSED, ago=60)
    assert tallies(refused, cleared=NOW - timedelta(seconds=60)) == {}, "submitted in the slot of the clearing"
    assert ALERT in tallies(refused, cleared=NOW - timedelta(seconds=60.1))
