"""Counts of submits and receipts by alert, account and time of the submit, added to once per batch.

They serve the watching of shares only: the audit rests on `attempts`. Rows are deleted after `KEPT`.
"""

from collections import Counter
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

import asyncpg

from broadcast.audit.codes import CODE_OF_RECEIPT
from schemas.receipt import ReceiptState
from schemas.status import Outcome, Status

SLOT_SECONDS: Final = 5
"""Submits of so long a time are counted together: short beside the time that a receipt is waited for."""

WINDOW: Final = timedelta(minutes=15)
"""Submits of the last so many minutes are looked at; of older ones no receipt is counted."""

KEPT: Final = timedelta(days=1)

ERROR_LENGTH_MAX: Final = 40

KEYS_MAX: Final = 1_000
"""Of one batch; of more the errors of receipts are not counted."""

DELIVERED: Final = CODE_OF_RECEIPT[ReceiptState.DELIVERED]

NO_ACCOUNT: Final = 0
"""Number of the account of what was not submitted."""

LAST_SLOT: Final = 2**31 - 1
"""A record may name any instant up to the year 10000: what is later than the year 2310 is counted in this slot."""


class Counted(IntEnum):
    """What a row counts: answers to submits (and jobs that were not submitted), or receipts."""

    SUBMIT = 1
    RECEIPT = 2


class OutcomeKey(NamedTuple):
    """What is counted together.

    `slot` is the instant of the submit in steps of `SLOT_SECONDS` since the epoch. `code` is that of an outcome or of a
    receipt (`audit/codes.py`), `error` a command_status in decimal or the error of the receipt.
    """

    alert_id: str
    account: int
    slot: int
    counted: Counted
    code: int
    error: str

    def of_receipt(self, code: int, error: str) -> "OutcomeKey":
        """What a receipt for such a submit is counted as; why one was delivered is not asked."""
        shown = "" if code == DELIVERED else error[:ERROR_LENGTH_MAX]
        return self._replace(counted=Counted.RECEIPT, code=code, error=shown)


OutcomeCounts: TypeAlias = Counter[OutcomeKey]
"""Changes of counts. A receipt that replaces another takes that one's count back."""


def slot_of(milliseconds: int) -> int:
    """The slot of an instant in milliseconds since the epoch."""
    return min(milliseconds // (SLOT_SECONDS * 1000), LAST_SLOT)


def slot_at(instant: datetime) -> int:
    """The slot of an instant."""
    return int(instant.timestamp()) // SLOT_SECONDS


def is_counted(status: Status) -> bool:
    """False for what would count a message twice, and for what people wanted.

    That is an answer after its submit counted as unanswered, a further segment where one receipt is for all of them,
    and a cancelled job.
    """
    return not (
        status.late or status.outcome is Outcome.CANCELLED or (status.receipt_covers_message and status.segment > 1)
    )


async def add_outcomes(connection: asyncpg.Connection, shard: int, counts: OutcomeCounts) -> None:
    """Add changes to this recorder's counts, inside the caller's transaction; rows in ascending order."""
    if len(counts) > KEYS_MAX:
        counts = _without_errors(counts)
    changes = sorted((key, count) for key, count in counts.items() if count)
    if not changes:
        return
    await connection.execute(
        """
        INSERT INTO outcome_counts AS known (slot, alert_id, account, shard, counted, code, error, count)
        SELECT l, a::uuid, n, $1, w, c, e, t
        FROM unnest($2::int[], $3::text[], $4::int[], $5::smallint[], $6::smallint[], $7::text[], $8::bigint[])
            AS given(l, a, n, w, c, e, t)
        ON CONFLICT (slot, alert_id, account, shard, counted, code, error)
        DO UPDATE SET count = known.count + excluded.count
        """,
        shard,
        [key.slot for key, _ in changes],
        [key.alert_id for key, _ in changes],
        [key.account for key, _ in changes],
        [key.counted for key, _ in changes],
        [key.code for key, _ in changes],
        [key.error for key, _ in changes],
        [count for _, count in changes],
    )


def _without_errors(counts: OutcomeCounts) -> OutcomeCounts:
    # The error of a receipt is whatever the SMSC writes there.
    fewer: OutcomeCounts = Counter()
    for key, count in counts.items():
        fewer[key._replace(error="") if key.counted is Counted.RECEIPT else key] += count
    return fewer


async def delete_outcomes(connection: asyncpg.Connection, now: datetime) -> None:
    """Delete what is older than `KEPT`."""
    await connection.execute("DELETE FROM outcome_counts WHERE slot < $1", slot_at(now - KEPT))
