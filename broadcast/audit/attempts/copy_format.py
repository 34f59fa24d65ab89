"""Attempts as rows of PostgreSQL's binary COPY, written by hand.

asyncpg's `copy_records_to_table` takes 5 µs for a row of this width. Most rows of a batch share all but six of their
fields, so what they share is encoded once.

Source: PostgreSQL documentation, COPY, "Binary Format"; timestamptz is microseconds since 2000-01-01 UTC.
"""

from functools import lru_cache
from struct import Struct, pack
from uuid import UUID

from broadcast.audit.attempts.receipts import MergedReceipt
from broadcast.audit.codes import CODE_OF_OUTCOME
from schemas.status import Status

COLUMNS = (
    "alert_id",
    "recipient_id",
    "message_key",
    "number_hash",
    "submitted_at",
    "answered_at",
    "evidence_id",
    "error",
    "account",
    "attempt",
    "segment",
    "segments",
    "outcome",
    "possible_duplicate",
    "only_attempt",
    "receipt_covers_message",
    "reason",
    "receipt_at",
    "receipt_state",
    "receipt_error",
    "receipt_evidence",
)

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_Y2K_MILLISECONDS = 946_684_800_000
_NULL = b"\xff\xff\xff\xff"
_INT8 = 20
"""Type oid of bigint, which a binary array names."""

# alert's part, recipient id, length and value of message key, number hash, submitted and answered instant
_usual = Struct(">26sqiqiqiqiq").pack
_receipt_at = Struct(">iq").pack


def alert_part(alert_id: str) -> bytes:
    """The first bytes of every row of an alert: number of fields, alert id, length of the recipient id."""
    return pack(">hi16si", len(COLUMNS), 16, UUID(alert_id).bytes, 8)


def shared_part(status: Status, evidence_id: int, account: int | None, *, only_attempt: bool) -> bytes:
    """The fields from `evidence_id` to `receipt_covers_message`, which most rows of a batch have in common."""
    account_part = _NULL if account is None else pack(">ii", 4, account)
    return b"".join(
        (
            pack(">iqiq", 8, evidence_id, 8, status.error),
            account_part,
            pack(
                ">ihihihih",
                2,
                status.attempt,
                2,
                status.segment,
                2,
                status.segments,
                2,
                CODE_OF_OUTCOME[status.outcome],
            ),
            pack(">i?i?", 1, status.possible_duplicate, 1, only_attempt),
            pack(">i?", 1, True) if status.receipt_covers_message else _NULL,
        )
    )


def usual_part(  # noqa: PLR0917 (keywords cost a tenth of this call)
    alert: bytes, recipient_id: int, key: int, number_hash: int, submitted_at: int, answered_at: int
) -> bytes:
    """The fields before `evidence_id` of a row that has a message key and a submit."""
    return _usual(
        alert,
        recipient_id,
        8,
        key,
        8,
        number_hash,
        8,
        (submitted_at - _Y2K_MILLISECONDS) * 1000,
        8,
        (answered_at - _Y2K_MILLISECONDS) * 1000,
    )


def unusual_part(  # noqa: PLR0917 (takes what `usual_part` takes)
    alert: bytes, recipient_id: int, key: int | None, number_hash: int, submitted_at: int, answered_at: int
) -> bytes:
    """The same where there may be no message key (`None`) and no submit (0)."""
    return b"".join(
        (
            alert,
            pack(">q", recipient_id),
            _NULL if key is None else pack(">iq", 8, key),
            pack(">iq", 8, number_hash),
            _instant(submitted_at) if submitted_at else _NULL,
            _instant(answered_at),
        )
    )


NO_REASON = _NULL
NO_RECEIPT = _NULL * 4


def reason_part(reason: str) -> bytes:
    """The field `reason`."""
    return _text(reason)


def receipt_part(receipt: MergedReceipt) -> bytes:
    """The receipt's fields of a row whose receipt came before it."""
    return _receipt_at(8, (receipt.received_at - _Y2K_MILLISECONDS) * 1000) + _receipt_rest(
        receipt.code, receipt.error, receipt.evidence_ids
    )


@lru_cache(maxsize=4096)
def _receipt_rest(code: int, text: str, evidence_ids: tuple[int, ...]) -> bytes:
    evidence = b"".join(pack(">iq", 8, number) for number in evidence_ids)
    array = pack(">iiiii", 1, 0, _INT8, len(evidence_ids), 1) + evidence
    return b"".join((pack(">ih", 2, code), _text(text), pack(">i", len(array)), array))


def _instant(milliseconds: int) -> bytes:
    return pack(">iq", 8, (milliseconds - _Y2K_MILLISECONDS) * 1000)


def _text(text: str) -> bytes:
    """PostgreSQL holds no NUL in text; empty is null."""
    raw = text.replace("\0", "").encode("utf-8", "replace")
    return pack(">i", len(raw)) + raw if raw else _NULL
