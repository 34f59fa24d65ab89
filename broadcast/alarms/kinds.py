"""The kinds of alarms, and where the documents say what to do about each. Pure."""

from typing import Final

LOST_TAIL = "kafka_lost_its_tail"
LOST_RECORDS = "kafka_lost_records"
SUM_GAP = "sum_gap"
QUEUED_PAST_EXPIRY = "queued_past_expiry"
QUEUED_WITHOUT_LAG = "queued_without_lag"
EVIDENCE_FAULT = "evidence_fault"
RECEIPTS_UNMATCHED = "receipts_unmatched"
ALERT_FAILING = "alert_failing"
ACCOUNT_FAILING = "account_failing"
OPERATOR_FAILING = "operator_failing"
ALERT_NOT_SENT = "alert_not_sent"
PROCESS_SILENT = "process_silent"
SUBMITTED_AFTER_COMPLETION = "submitted_after_completion"
LOCK_HELD = "lock_held"
SERVER_AWAY = "server_away"
OPEN_TRANSACTION = "open_transaction"

JOBS_FAILED = "jobs_failed"
JOBS_DELETED_UNSENT = "jobs_deleted_unsent"
JOBS_LOST_THEIR_TAIL = "jobs_lost_their_tail"
CONTROL_LOST_ITS_TAIL = "control_lost_its_tail"
CONTROL_FULL = "control_full"
BIND_DOWN = "bind_down"
SESSION_MUTE = "session_mute"
ACCOUNT_STOPPED = "account_stopped"
ACCOUNT_THROTTLED = "account_throttled"
ACCOUNT_LATE = "account_late"
ROUTES_REFUSED = "routes_refused"
MESSAGE_REFUSED = "message_refused"
ACCOUNT_CONTRADICTS = "account_contradicts"
ACCOUNT_COSTLY = "account_costly"
CLOCK_WRONG = "clock_wrong"

ACCOUNT_KINDS = (BIND_DOWN, SESSION_MUTE, ACCOUNT_STOPPED)
"""What keeps an account from being used; the sender ends these alarms itself when the cause has gone."""

PER_ACCOUNT_KINDS = (*ACCOUNT_KINDS, ACCOUNT_THROTTLED, ACCOUNT_LATE)
"""Kinds whose subject is an account and the slot of a sender, which ends them when the cause has gone."""

SENDER_KINDS = (
    JOBS_FAILED,
    JOBS_DELETED_UNSENT,
    JOBS_LOST_THEIR_TAIL,
    CONTROL_LOST_ITS_TAIL,
    CONTROL_FULL,
    *ACCOUNT_KINDS,
    ACCOUNT_THROTTLED,
    ACCOUNT_LATE,
    ROUTES_REFUSED,
    MESSAGE_REFUSED,
    ACCOUNT_CONTRADICTS,
    ACCOUNT_COSTLY,
    CLOCK_WRONG,
)
KINDS = (
    LOST_TAIL,
    LOST_RECORDS,
    SUM_GAP,
    QUEUED_PAST_EXPIRY,
    QUEUED_WITHOUT_LAG,
    EVIDENCE_FAULT,
    RECEIPTS_UNMATCHED,
    ALERT_FAILING,
    ACCOUNT_FAILING,
    OPERATOR_FAILING,
    ALERT_NOT_SENT,
    PROCESS_SILENT,
    SUBMITTED_AFTER_COMPLETION,
    LOCK_HELD,
    SERVER_AWAY,
    OPEN_TRANSACTION,
    *SENDER_KINDS,
)

RUNBOOKS: Final = "docs/how-to/alarms.md"
"""The page that says of each kind what to do, under a heading of its name."""


def runbook_of(kind: str) -> str:
    """Where the documents say what to do about an alarm of this kind."""
    return f"{RUNBOOKS}#{kind}"
