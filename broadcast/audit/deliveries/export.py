"""Deliveries as text, written as they are read: a table, JSON lines or CSV."""

import csv
import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TextIO
from uuid import UUID

from broadcast.audit.attempts.accounts import account_names
from broadcast.audit.codes import OUTCOME_OF_CODE
from broadcast.audit.deliveries.pages import stream_deliveries
from broadcast.audit.deliveries.state import Delivery, receipt_name
from broadcast.audit.deliveries.summary import DEFAULT_RECEIPT_DEADLINE
from broadcast.database import Connection
from broadcast.text.printable import csv_cell, printable
from schemas.status import DeliveryState

FORMATS = ("table", "json", "csv")

COLUMNS = (
    "recipient_id",
    "state",
    "attempts",
    "account",
    "submitted_at",
    "receipt_at",
    "outcome",
    "receipt_state",
    "error",
    "possible_duplicate",
    "receipt_overdue",
    "reason",
)

_WIDTHS = {"recipient_id": 12, "state": 11, "attempts": 8, "account": 12, "submitted_at": 24, "receipt_at": 24}
_AT_ONCE = 1_000


def delivery_row(delivery: Delivery, accounts: Mapping[int, str]) -> dict[str, Any]:
    """One delivery by the names of `COLUMNS`; instants in RFC 3339, what is not known is None."""
    attempt = delivery.attempt
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row.update(
        recipient_id=delivery.recipient_id,
        state=delivery.state.value,
        attempts=delivery.attempts,
        possible_duplicate=delivery.possible_duplicate,
        receipt_overdue=delivery.receipt_overdue,
        reason=delivery.reason,
    )
    if attempt is not None:
        receipt = receipt_name(attempt.receipt_state)
        row.update(
            account=accounts.get(attempt.account) if attempt.account is not None else None,
            submitted_at=_text_of(attempt.submitted_at),
            receipt_at=_text_of(attempt.receipt_at),
            outcome=OUTCOME_OF_CODE[attempt.outcome].value,
            receipt_state=receipt and receipt.value,
            error=attempt.receipt_error or (f"0x{attempt.error:08x}" if attempt.error else None),
        )
    return row


async def write_deliveries(
    connection: Connection,
    alert_id: UUID,
    out: TextIO,
    *,
    form: str = "table",
    state: DeliveryState | None = None,
    cursor: int | None = None,
    limit: int | None = None,
    numbers: bool = False,
    receipt_deadline: timedelta = DEFAULT_RECEIPT_DEADLINE,
) -> int | None:
    """Write deliveries to `out`; the cursor for the next page if `limit` ended it. `numbers` adds msisdn.

    The last column says how much of the alert's way is simulated: then `delivered` speaks of no phone.
    """
    accounts = await account_names(connection)
    simulated = await connection.fetchval("SELECT simulated FROM alerts WHERE alert_id = $1", alert_id)
    columns = ("recipient_id", "msisdn", *COLUMNS[1:]) if numbers else COLUMNS
    columns = (*columns, "simulated")
    write = _writer(form, columns, out)
    written = last = 0
    found = stream_deliveries(connection, alert_id, state=state, cursor=cursor, receipt_deadline=receipt_deadline)
    async for batch in _batches(found):
        rows = [delivery_row(delivery, accounts) | {"simulated": simulated} for delivery in batch]
        if numbers:
            await _add_numbers(connection, rows)
        for row in rows:
            if limit is not None and written == limit:
                return last
            write(row)
            written, last = written + 1, row["recipient_id"]
    return None


def _writer(form: str, columns: tuple[str, ...], out: TextIO) -> Callable[[dict[str, Any]], None]:
    if form == "json":
        return lambda row: print(json.dumps({name: row[name] for name in columns}, ensure_ascii=False), file=out)
    if form == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        return lambda row: writer.writerow([csv_cell(row[name]) for name in columns])
    print(_line({name: name for name in columns}, columns), file=out)
    return lambda row: print(_line(row, columns), file=out)


def _line(row: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    words = {name: "" if row[name] in (None, False) else printable(str(row[name])) for name in columns}
    return "  ".join([word.ljust(_WIDTHS.get(name, 14)) for name, word in words.items()]).rstrip()


async def _batches(found: AsyncIterator[Delivery]) -> AsyncIterator[list[Delivery]]:
    batch: list[Delivery] = []
    async for delivery in found:
        batch.append(delivery)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


async def _add_numbers(connection: Connection, rows: list[dict[str, Any]]) -> None:
    found = await connection.fetch(
        "SELECT id, msisdn FROM recipients WHERE id = ANY ($1::bigint[])", [row["recipient_id"] for row in rows]
    )
    numbers = {row["id"]: row["msisdn"] for row in found}
    for row in rows:
        row["msisdn"] = numbers.get(row["recipient_id"])


def _text_of(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds")
