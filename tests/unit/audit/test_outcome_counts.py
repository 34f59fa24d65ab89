"""What one batch adds to the counts of outcomes is bounded, whatever an SMSC writes into its receipts."""

from collections import Counter
from typing import Any, cast

import asyncpg
import pytest

from broadcast.audit.codes import CODE_OF_OUTCOME, CODE_OF_RECEIPT
from broadcast.audit.outcomes.outcome_counts import KEYS_MAX, Counted, OutcomeCounts, OutcomeKey, add_outcomes
from schemas.receipt import ReceiptState
from schemas.status import Outcome

ALERT = "11111111-1111-4111-8111-111111111111"
SUBMIT = OutcomeKey(ALERT, 1, 1, Counted.SUBMIT, CODE_OF_OUTCOME[Outcome.REFUSED], "11")
RECEIPT = SUBMIT._replace(counted=Counted.RECEIPT, code=CODE_OF_RECEIPT[ReceiptState.UNDELIVERABLE])


class Database:
    """Keeps what it is told to write, as (error, count)."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int]] = []

    async def execute(self, _statement: str, *columns: Any) -> None:
        *_, errors, counts = columns
        self.rows += zip(errors, counts, strict=True)


@pytest.mark.parametrize(("errors", "kept"), [(KEYS_MAX - 1, True), (KEYS_MAX, False)])
async def test_of_a_batch_with_very_many_errors_the_receipts_are_counted_without_them(errors: int, kept: bool) -> None:
    counts: OutcomeCounts = Counter({SUBMIT: 7})
    counts.update({RECEIPT._replace(error=f"{number:04d}"): 2 for number in range(errors)})
    database = Database()
    await add_outcomes(cast("asyncpg.Connection", database), 0, counts)
    assert database.rows[0] == ("11", 7)
    assert sum(count for _, count in database.rows[1:]) == 2 * errors
    assert {error for error, _ in database.rows[1:]} == (
        {f"{number:04d}" for number in range(errors)} if kept else {""}
    )


async def test_a_count_that_is_taken_back_in_its_own_batch_is_not_written() -> None:
    database = Database()
    counts: OutcomeCounts = Counter({SUBMIT: 3, RECEIPT: 1})
    counts[RECEIPT] -= 1
    await add_outcomes(cast("asyncpg.Connection", database), 0, counts)
    assert database.rows == [("11", 3)]
