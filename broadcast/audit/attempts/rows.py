"""From the statuses of a batch to rows of `attempts` and moves between states. Pure, the recorder's hottest loop."""

from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field

from broadcast.audit.attempts.copy_format import (
    NO_REASON,
    NO_RECEIPT,
    alert_part,
    reason_part,
    receipt_part,
    shared_part,
    unusual_part,
    usual_part,
)
from broadcast.audit.attempts.receipts import MergedReceipt, merge
from broadcast.audit.chunk_states.moves import Moves
from broadcast.audit.codes import CODE_OF_OUTCOME, CODE_OF_STATE, QUEUED, STATE_CODE_OF_RECEIPT
from broadcast.audit.message_key import message_key
from broadcast.audit.outcomes.outcome_counts import NO_ACCOUNT, Counted, OutcomeCounts, OutcomeKey, is_counted, slot_of
from broadcast.audit.undelivered import UNDELIVERED_CODES, Undelivered
from schemas.status import STATE_OF_OUTCOME, Outcome, Status

Recipient = tuple[str, int]
"""Alert id and recipient id."""

Latencies = dict[tuple[int | None, int], list[int]]
"""Milliseconds from submits to their receipts, by the account's number and the receipt's code."""

FINAL_OUTCOMES = frozenset({Outcome.ACCEPTED, Outcome.REFUSED, Outcome.EXPIRED, Outcome.CANCELLED, Outcome.FAILED})
"""Outcomes after which nothing is tried again."""


@dataclass(slots=True)
class _Shared:
    """What the rows of statuses alike have in common.

    They are counted as `outcome` if `counted`. `recipients` are those without a receipt in the row, `receipts` the
    others by code and error.
    """

    alert: bytes
    fields: bytes
    account: int | None
    only_attempt: bool
    state: int
    outcome: OutcomeKey
    counted: bool
    recipients: list[int] = field(default_factory=list)
    receipts: dict[tuple[int, str], list[int]] = field(default_factory=dict)


@dataclass(slots=True)
class AttemptRows:
    """What one batch of statuses does to the tables.

    `pieces` joined are rows for COPY. `moves` are those of recipients that have only this attempt; `needs_recount`
    are the other recipients, whose state must be found from all their attempts. `joined_parked` are parked receipts
    that are in the rows; `latencies` are those of every receipt that is in the rows. `undelivered` are those whose
    receipt in the rows says so. `outcomes` counts the rows; the first of those alike gives the instant of the submit.
    """

    pieces: list[bytes] = field(default_factory=list)
    count: int = 0
    moves: Moves = field(default_factory=dict)
    needs_recount: set[Recipient] = field(default_factory=set)
    joined_parked: list[MergedReceipt] = field(default_factory=list)
    latencies: Latencies = field(default_factory=dict)
    undelivered: set[Undelivered] = field(default_factory=set)
    outcomes: OutcomeCounts = field(default_factory=Counter)


def is_only_attempt(status: Status) -> bool:
    """True if its recipient was queued before and has no other attempt: first, in time, whole, not tried again."""
    return (
        status.attempt == 1
        and status.segment == 1
        and status.segments == 1
        and not status.possible_duplicate
        and not status.late
        and status.outcome in FINAL_OUTCOMES
    )


def add_statuses(
    rows: AttemptRows,
    statuses: Iterable[Status],
    timestamps: Iterable[int],
    evidence_id: int,
    *,
    accounts: Mapping[str, int],
    receipts: MutableMapping[int, MergedReceipt],
    parked: MutableMapping[int, MergedReceipt],
    log_intact: bool,
) -> None:
    """Add the statuses of one evidence segment to `rows`.

    Receipts that came first are taken out of `receipts` (this batch's) and `parked`. `timestamps` are those of the
    Kafka records. Without `log_intact` (Kafka once lost its tail, so any job may have been done twice) every
    recipient needs a recount.
    """
    by_shared: dict[tuple[object, ...], _Shared] = {}
    early = bool(receipts or parked)
    pieces = rows.pieces
    for status, timestamp in zip(statuses, timestamps, strict=True):
        alike = (
            status.alert_id,
            status.account,
            status.outcome,
            status.attempt,
            status.segment,
            status.segments,
            status.possible_duplicate,
            status.error,
            status.late,
            status.receipt_covers_message,
        )
        shared = by_shared.get(alike)
        if shared is None:
            only_attempt = log_intact and is_only_attempt(status)
            account = accounts.get(status.account.replace("\0", ""))
            shared = by_shared[alike] = _Shared(
                alert_part(status.alert_id),
                shared_part(status, evidence_id, account, only_attempt=only_attempt),
                account,
                only_attempt,
                CODE_OF_STATE[STATE_OF_OUTCOME[status.outcome]],
                _outcome_of(status, account, timestamp),
                is_counted(status),
            )
        if not shared.only_attempt:
            rows.needs_recount.add((shared.outcome.alert_id, status.recipient_id))
        key = None
        if status.message_id and status.outcome is Outcome.ACCEPTED:  # no other outcome can have a receipt
            key = message_key(status.account, status.message_id)
        answered_at = status.at or timestamp
        part = usual_part if key is not None and status.submitted_at else unusual_part
        pieces.append(
            part(shared.alert, status.recipient_id, key, status.number_hash, status.submitted_at, answered_at)  # type: ignore[arg-type]
        )
        pieces.append(shared.fields)
        pieces.append(reason_part(status.reason) if status.reason else NO_REASON)
        receipt = None
        if early and key is not None:
            receipt = _take_receipt(key ^ status.number_hash, receipts, parked, rows)
        if receipt is None:
            pieces.append(NO_RECEIPT)
            shared.recipients.append(status.recipient_id)
            continue
        pieces.append(receipt_part(receipt))
        rows.latencies.setdefault((shared.account, receipt.code), []).append(
            receipt.received_at - (status.submitted_at or receipt.received_at)
        )
        if receipt.code in UNDELIVERED_CODES and shared.account is not None:
            rows.undelivered.add((shared.outcome.alert_id, status.recipient_id, shared.account))
        shared.receipts.setdefault((receipt.code, receipt.error), []).append(status.recipient_id)
    for shared in by_shared.values():
        _count(rows, shared)
    rows.count = len(pieces) // 4


def _outcome_of(status: Status, account: int | None, timestamp: int) -> OutcomeKey:
    slot = slot_of(status.submitted_at or status.at or timestamp)
    code = CODE_OF_OUTCOME[status.outcome]
    return OutcomeKey(status.alert_id.lower(), account or NO_ACCOUNT, slot, Counted.SUBMIT, code, str(status.error))


def _count(rows: AttemptRows, shared: _Shared) -> None:
    alert_id = shared.outcome.alert_id
    if shared.only_attempt and shared.recipients:
        rows.moves.setdefault((alert_id, QUEUED, shared.state), []).extend(shared.recipients)
    if shared.counted:
        rows.outcomes[shared.outcome] += len(shared.recipients) + sum(map(len, shared.receipts.values()))
    for (code, error), recipients in shared.receipts.items():
        rows.outcomes[shared.outcome.of_receipt(code, error)] += len(recipients)
        if shared.only_attempt:
            # Only what was accepted has a receipt.
            rows.moves.setdefault((alert_id, QUEUED, STATE_CODE_OF_RECEIPT[code]), []).extend(recipients)


def _take_receipt(
    match: int,
    receipts: MutableMapping[int, MergedReceipt],
    parked: MutableMapping[int, MergedReceipt],
    rows: AttemptRows,
) -> MergedReceipt | None:
    from_parked = parked.pop(match, None)
    receipt = receipts.pop(match, None)
    if from_parked is None:
        return receipt
    rows.joined_parked.append(from_parked)
    if receipt is None:
        return from_parked
    return merge(from_parked, receipt)
