"""What a person who watches an alert sees while an account does not work."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from broadcast.cli.terminal.alert_end import describe_end, exit_code_of_end
from broadcast.cli.terminal.open_alarms import find_concerning
from broadcast.cli.terminal.watching import (
    LINE_SECONDS,
    Lines,
    Silence,
    _table,
    find_accounts,
    is_over,
    reached_of,
    state_of,
    write_line,
)

DETAIL = "0 of 1 binds: h:1 refused the bind of [s]: ESME_RINVPASWD; next try at 10:00:00 UTC"


THROTTLED = "throttled by the SMSC; slowed to 10 of 500 segments/s"
UNROUTED = "no route carries numbers that begin with +33 with CAP status Actual"


def progress_of(queued: int, silent_seconds: int = 0, failed: int = 0) -> dict[str, Any]:
    return {
        "alert_id": "a",
        "state": "active",
        "reason": "",
        "audience": 10,
        "counts": {"queued": queued, "delivered": 10 - queued - failed, "failed": failed},
        "possible_duplicates": 0,
        "unrecorded_submits": 0,
        "receipt_overdue": 0,
        "gap": 0,
        "queued_routes": [{"route": "home", "prefixes": ["+49", "+43"], "accounts": ["operator", "other"]}],
        "unusable_accounts": [{"kind": "bind_down", "subject": "operator, sender a", "detail": DETAIL}],
        "slow_accounts": [{"kind": "account_throttled", "subject": "other, sender a", "detail": THROTTLED}],
        "silent_seconds": silent_seconds,
        "failed_reasons": {UNROUTED: failed} if failed else {},
    }


def printed(queued: int, silent_seconds: int = 0, failed: int = 0) -> list[str]:
    output = StringIO()
    Console(file=output, width=200).print(_table(progress_of(queued, silent_seconds, failed)))
    return output.getvalue().splitlines()


def test_who_has_no_recorded_submit_is_not_called_a_possible_duplicate() -> None:
    output = StringIO()
    marks = {"counts": {"unknown": 3}, "possible_duplicates": 3, "unrecorded_submits": 3}
    Console(file=output, width=200).print(_table(progress_of(0) | marks))
    assert "3 may have been sent by a sender that ended; no submit is recorded" in output.getvalue()
    assert "possible duplicates" not in output.getvalue()


def test_under_the_queued_stands_which_account_is_not_bound_why_and_the_next_try() -> None:
    lines = printed(8)
    at = next(number for number, line in enumerate(lines) if line.strip().startswith("queued"))
    assert f"account operator, sender a: {DETAIL}" in lines[at + 2]
    assert f"account other, sender a: {THROTTLED}" in lines[at + 3]
    assert "by route home (+49, +43)" in lines[at + 1]


def test_when_nobody_is_queued_no_account_is_shown() -> None:
    assert "operator" not in "".join(printed(0))


def test_numbers_without_a_route_are_counted_by_the_prefix_of_their_country() -> None:
    lines = printed(0, failed=3)
    at = next(number for number, line in enumerate(lines) if line.strip().startswith("failed"))
    assert f"3: {UNROUTED}" in lines[at + 1]


def test_an_smsc_that_does_not_answer_is_told_after_seconds() -> None:
    assert "no answer for 5 s" in "".join(printed(8, silent_seconds=5))
    silence = Silence()
    looks = [silence.look({"queued": 8}, now) for now in (0.0, 4.9, 5.0, 9.9, 10.0)]
    assert looks == [0, 0, 5, 5, 10]
    assert silence.look({"queued": 7, "submitted": 1}, 11.0) == 0
    assert [silence.look({"submitted": 8}, now) for now in (12.0, 60.0)] == [0, 0]


def test_a_pipe_gets_one_line_with_the_time_of_day() -> None:
    line = write_line(progress_of(7, 5, 1), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert line == (
        f"03:04:05 UTC alert a: active, 2 of 10 reached: queued 7, delivered 2, failed 1; queued: no answer for 5 s, "
        f"by route home (+49, +43), "
        f"account operator, sender a: {DETAIL}, account other, sender a: {THROTTLED}; "
        f"failed: 1: {UNROUTED}"
    )


def test_who_waits_for_a_new_try_is_told_with_the_next_try_and_the_reason() -> None:
    progress = progress_of(7)
    [route] = progress["queued_routes"]
    full = {"reason": "ESME_RMSGQFUL: the queue is full", "next_try_at": "2026-01-02T03:04:30Z"}
    route["waiting"] = [full | {"recipients": 1}]
    words = "waits for a new try, not before 03:04:30 UTC: ESME_RMSGQFUL: the queue is full"
    assert f", 1 {words}" in write_line(progress, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    route["complete"] = False
    route["waiting"] = [full | {"recipients": 1_200}]
    words = words.replace("waits", "wait")
    assert f", at least 1,200 {words}" in write_line(progress, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def test_only_accounts_of_the_routes_of_the_queued_are_named_also_one_that_answers_nothing() -> None:
    alarms = [
        {"kind": "bind_down", "subject": "beta-1, sender a", "detail": "refused"},
        {"kind": "account_late", "subject": "gamma-1, sender a", "detail": "has answered none of 50 submits"},
        {"kind": "account_stopped", "subject": "gamma-10, sender a", "detail": "refused"},
        {"kind": "sum_gap", "subject": "gamma-1", "detail": "one too many"},
    ]
    routes = [{"route": "british", "prefixes": ["+44"], "accounts": ["gamma-1"]}]
    found = find_accounts(alarms, routes)
    assert found["queued_routes"] == routes
    assert found["unusable_accounts"] == []
    assert [alarm["subject"] for alarm in found["slow_accounts"]] == ["gamma-1, sender a"]


def test_a_pipe_gets_a_line_when_the_meaning_changes_and_values_now_and_then() -> None:
    lines = Lines()
    assert lines.are_due(progress_of(9), 0.0)
    assert not lines.are_due(progress_of(8), 0.3)
    assert not lines.are_due(progress_of(7, silent_seconds=0), LINE_SECONDS - 0.1)
    assert lines.are_due(progress_of(7), LINE_SECONDS)
    assert not lines.are_due(progress_of(7), 3 * LINE_SECONDS), "nothing has changed"
    assert lines.are_due(progress_of(7, silent_seconds=5), 3 * LINE_SECONDS + 0.1), "that nothing is answered is new"
    assert not lines.are_due(progress_of(7, silent_seconds=10), 3 * LINE_SECONDS + 5), "for how long is a value"
    assert lines.are_due(progress_of(0), 3 * LINE_SECONDS + 5.1), "nobody is queued"


def test_states_that_come_and_go_are_one_line_each_in_ten_seconds() -> None:
    lines = Lines()
    written = [lines.are_due(progress_of(turn % 2, silent_seconds=turn), turn / 4) for turn in range(40)]
    assert sum(written) == 2


def alarm(number: int, kind: str, subject: str, detail: str = "look at it.") -> dict[str, Any]:
    return {"id": number, "kind": kind, "subject": subject, "detail": detail, "raised_at": "x", "runbook": "y"}


def test_open_alarms_about_the_alert_or_its_stages_are_told_at_once() -> None:
    opened = [
        alarm(1, "process_silent", "sender a"),
        alarm(2, "alert_failing", "a-1"),
        alarm(3, "alert_failing", "b-2"),
        alarm(4, "receipts_unmatched", "operator"),
    ]
    assert [each["id"] for each in find_concerning(opened, "a-1", {"queued": 3})] == [1, 2]
    assert [each["id"] for each in find_concerning(opened, "a-1", {"submitted": 3})] == [1, 2, 4]
    progress = progress_of(9)
    lines = Lines()
    assert lines.are_due(progress, 0.0)
    progress = progress | {"alarms": find_concerning(opened[:1], "a-1", {})}
    assert lines.are_due(progress, 0.3), "an alarm that is open is new"
    line = write_line(progress, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert "; alarm 1 is open: process_silent sender a: look at it;" in line


def test_the_wait_for_receipts_is_told_with_its_length_again_and_again() -> None:
    silence = Silence("submitted")
    looks = [silence.look({"submitted": 8}, now) for now in (0.0, 5.0, 10.0)]
    assert looks == [0, 5, 10]
    waiting = progress_of(0) | {"counts": {"submitted": 10}, "receipt_silent_seconds": 5}
    assert "submitted: no receipt for 5 s" in write_line(waiting, datetime(2026, 1, 2, tzinfo=UTC))
    lines = Lines()
    due = [lines.are_due(waiting | {"receipt_silent_seconds": now // 5 * 5}, float(now)) for now in range(40)]
    assert sum(due) == 4


@pytest.mark.parametrize(
    ("state", "counts", "code"),
    [
        ("completed", {"delivered": 10}, 0),
        ("completed", {"delivered": 10, "queued": 0, "rejected": 0}, 0),
        ("completed", {"delivered": 9, "suppressed": 1}, 0),
        ("completed", {"delivered": 9, "unknown": 1}, 5),
        ("completed", {"rejected": 10}, 5),
        ("completed", {"submitted": 10}, 5),
        ("expired", {"delivered": 9, "expired": 1}, 5),
        ("cancelled", {"delivered": 9, "cancelled": 1}, 5),
        ("refused", {}, 3),
        ("completed", {}, 0),
    ],
)
def test_only_an_alert_that_reached_everybody_ends_with_zero(state: str, counts: dict[str, int], code: int) -> None:
    audience = sum(counts.values()) or (0 if state == "completed" else None)
    assert exit_code_of_end({"state": state, "audience": audience, "counts": counts}) == code


def test_a_completed_alert_that_was_stopped_says_so_and_ends_as_before() -> None:
    progress = progress_of(0) | {"state": "completed", "stopped_at": "2026-01-02T00:00:00Z"}
    progress |= {"counts": {"delivered": progress["audience"]}}
    assert ": completed, stopped, " in write_line(progress, datetime(2026, 1, 2, tzinfo=UTC))
    assert exit_code_of_end(progress) == 0
    assert state_of(progress) == "completed, stopped"
    assert state_of(progress | {"state": "cancelled"}) == "cancelled"


def test_the_last_line_names_the_reason_and_the_next_step() -> None:
    progress = {"alert_id": "a", "audience": 1_503, "counts": {"delivered": 0, "rejected": 1_500, "unknown": 3}}
    told = describe_end(progress, "ESME_RINVSRCADR", [alarm(7, "alert_failing", "a")])
    assert told == (
        "not reached: 1,503 of 1,503: rejected 1,500, unknown 3; most frequent reason: ESME_RINVSRCADR; "
        "alarm 7 (alert_failing) is open; "
        "next: `broadcast audit deliveries a --state rejected`, `broadcast alarms list`"
    )
    assert describe_end(progress | {"counts": {"delivered": 1_503}}, "", []) == ""


@pytest.mark.parametrize(
    ("state", "counts", "overdue", "over"),
    [
        ("sending", {"delivered": 10}, 0, False),
        ("completed", {"delivered": 10}, 0, True),
        ("completed", {"delivered": 9, "submitted": 1}, 0, False),
        ("completed", {"delivered": 9, "submitted": 1}, 1, True),
        ("completed", {"submitted": 2, "queued": 1}, 2, False),
        ("cancelled", {"queued": 1}, 0, False),
        ("refused", {"queued": 1}, 0, True),
    ],
)
def test_the_watching_ends_when_nothing_is_waited_for(
    state: str, counts: dict[str, int], overdue: int, over: bool
) -> None:
    assert is_over({"state": state, "counts": counts, "receipt_overdue": overdue}) is over


@pytest.mark.parametrize(("simulated", "reached"), [(None, 9), ("none", 9), ("partly", 9), ("all", 0)])
def test_whom_a_simulator_delivers_to_is_not_called_reached(simulated: str | None, reached: int) -> None:
    progress = {"simulated": simulated, "audience": 10, "counts": {"delivered": 9, "submitted": 1}}
    assert reached_of(progress) == f"{reached} of 10 reached"
