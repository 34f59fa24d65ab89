"""How many recipients of an alert are in which state: from counters, or counted from all attempts."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from broadcast.audit.codes import (
    CODE_OF_OUTCOME,
    CODE_OF_RECEIPT,
    LOWEST_FINAL_RECEIPT,
    POSSIBLE_DUPLICATES,
    STATE_OF_CODE,
)
from broadcast.audit.deliveries.by_chunk import count
from broadcast.audit.deliveries.unrecorded import count_unrecorded
from broadcast.audit.errors import UnknownAlertError
from broadcast.clock import utc_now
from broadcast.database import Connection
from broadcast.routing import Simulation
from schemas.receipt import ReceiptState
from schemas.status import DeliveryState, Outcome

DEFAULT_RECEIPT_DEADLINE = timedelta(hours=1)

REASONS_MAX = 20
"""The most frequent reasons are enough: a country without a route is one of them."""


@dataclass(frozen=True, slots=True)
class Summary:
    """An alert's audience and how many of it are in which state; all states are there, zeros too.

    `audience` is None until it is resolved. `gap` is the difference between the audience and the sum of the states: 0
    unless something is wrong. `differences` says which states' counters are not what counting gave (with `exact` only).
    `outside_audience` are recipients with an attempt who are not in the audience (with `exact` only). `failed_reasons`
    says why recipients failed, and how many for each reason (with `reasons` only). Of the unknown, `unrecorded_submits`
    have no submit at all: a sender that ended may have sent to them, or nobody. `simulated` says whether what is
    delivered reached phones; None while nothing is planned.
    """

    alert_id: UUID
    state: str
    lane: str
    audience: int | None
    counts: dict[DeliveryState, int]
    possible_duplicates: int
    unrecorded_submits: int
    receipt_overdue: int
    gap: int
    exact: bool
    differences: dict[str, tuple[int, int]]
    outside_audience: int
    failed_reasons: dict[str, int]
    simulated: Simulation | None
    accepted_at: datetime
    expanded_at: datetime | None
    stopped_at: datetime | None
    completed_at: datetime | None
    expires_at: datetime

    @property
    def queued(self) -> int:
        """Recipients without a final state."""
        return self.counts[DeliveryState.QUEUED]

    @property
    def maybe_twice(self) -> int:
        """Recipients with a mark of a possible duplicate and a recorded submit."""
        return max(0, self.possible_duplicates - self.unrecorded_submits)

    @property
    def sound(self) -> bool:
        """True if the sum is the audience, and the counters are what counting gives."""
        return self.gap == 0 and not self.differences and self.outside_audience == 0


async def summary(
    connection: Connection,
    alert_id: UUID,
    *,
    exact: bool = False,
    reasons: bool = False,
    receipt_deadline: timedelta = DEFAULT_RECEIPT_DEADLINE,
    now: datetime | None = None,
) -> Summary:
    """The summary of one alert, from one snapshot; raises `UnknownAlertError`.

    From counters it takes a few milliseconds whatever the audience; `exact` walks every chunk and attempt (2 to 3 s
    for a million) and compares. `reasons` reads the attempts of those who failed.
    """
    now = now or utc_now()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        alert = await connection.fetchrow(
            "SELECT state, lane, audience, suppressed, simulated, accepted_at, expanded_at, stopped_at, completed_at, "
            "expires_at FROM alerts WHERE alert_id = $1",
            alert_id,
        )
        if alert is None:
            raise UnknownAlertError(alert_id)
        counts, duplicates = await _from_counters(connection, alert_id, alert)
        outside_audience, differences = 0, {}
        overdue_before = now - receipt_deadline
        if exact:
            found = await count(connection, alert_id, overdue_before=overdue_before)
            counted = {state: found.states[state] for state in DeliveryState}
            found_duplicates, overdue = found.possible_duplicates, found.receipt_overdue
            outside_audience = await _strangers(connection, alert_id, found.attempted)
            differences = {
                state.value: (counts[state], counted[state])
                for state in DeliveryState
                if counts[state] != counted[state] and state is not DeliveryState.QUEUED
            }
            if duplicates != found_duplicates:
                differences["possible_duplicates"] = (duplicates, found_duplicates)
            counts, duplicates = counted, found_duplicates
        elif counts[DeliveryState.SUBMITTED] and alert["accepted_at"] < overdue_before:
            overdue = await _overdue(connection, alert_id, overdue_before)
        else:
            overdue = 0
        unrecorded = await count_unrecorded(connection, alert_id) if counts[DeliveryState.UNKNOWN] else 0
        failed = await _failed_reasons(connection, alert_id) if reasons and counts[DeliveryState.FAILED] else {}
    audience = alert["audience"]
    gap = 0 if audience is None else abs(audience - sum(counts.values()))
    if counts[DeliveryState.QUEUED] < 0:
        gap, counts[DeliveryState.QUEUED] = -counts[DeliveryState.QUEUED], 0
    return Summary(
        alert_id=alert_id,
        state=alert["state"],
        lane=alert["lane"],
        audience=audience,
        counts=counts,
        possible_duplicates=duplicates,
        unrecorded_submits=unrecorded,
        receipt_overdue=overdue,
        gap=gap,
        exact=exact,
        differences=differences,
        outside_audience=outside_audience,
        failed_reasons=failed,
        simulated=None if alert["simulated"] is None else Simulation(alert["simulated"]),
        accepted_at=alert["accepted_at"],
        expanded_at=alert["expanded_at"],
        stopped_at=alert["stopped_at"],
        completed_at=alert["completed_at"],
        expires_at=alert["expires_at"],
    )


async def _from_counters(connection: Connection, alert_id: UUID, alert: Any) -> tuple[dict[DeliveryState, int], int]:
    rows = await connection.fetch(
        "SELECT state, sum(count)::bigint AS count FROM counters WHERE alert_id = $1 GROUP BY state", alert_id
    )
    found = {row["state"]: row["count"] for row in rows}
    duplicates = found.pop(POSSIBLE_DUPLICATES, 0)
    counts = dict.fromkeys(DeliveryState, 0)
    counts.update({STATE_OF_CODE[code]: count for code, count in found.items()})
    counts[DeliveryState.SUPPRESSED] = alert["suppressed"] or 0
    if alert["audience"] is not None:
        counts[DeliveryState.QUEUED] = alert["audience"] - sum(counts.values())
    return counts, duplicates


async def _failed_reasons(connection: Connection, alert_id: UUID) -> dict[str, int]:
    rows = await connection.fetch(
        "SELECT reason, count(DISTINCT recipient_id) AS count FROM attempts "
        "WHERE alert_id = $1 AND outcome = $2 AND reason IS NOT NULL GROUP BY reason ORDER BY count DESC LIMIT $3",
        alert_id,
        CODE_OF_OUTCOME[Outcome.FAILED],
        REASONS_MAX,
    )
    return {row["reason"]: row["count"] for row in rows}


async def _strangers(connection: Connection, alert_id: UUID, known: int) -> int:
    attempted: int = await connection.fetchval(
        "SELECT count(DISTINCT recipient_id) FROM attempts WHERE alert_id = $1", alert_id
    )
    return attempted - known


async def _overdue(connection: Connection, alert_id: UUID, overdue_before: datetime) -> int:
    """Recipients with a submit that old and no final receipt.

    The state of a recipient with several attempts is not known here: one with a delivered receipt is left out.
    """
    found: int = await connection.fetchval(
        f"""
        SELECT count(DISTINCT recipient_id) FROM attempts
        WHERE alert_id = $1 AND outcome = $2 AND submitted_at < $3
            AND (receipt_state IS NULL OR receipt_state < {LOWEST_FINAL_RECEIPT})
            AND (only_attempt OR NOT EXISTS (
                SELECT FROM attempts other WHERE other.alert_id = $1 AND other.recipient_id = attempts.recipient_id
                    AND (other.segment = attempts.segment AND other.receipt_state = $4
                        OR attempts.receipt_covers_message AND other.account = attempts.account
                            AND other.receipt_state >= {LOWEST_FINAL_RECEIPT})
            ))
        """,
        alert_id,
        CODE_OF_OUTCOME[Outcome.ACCEPTED],
        overdue_before,
        CODE_OF_RECEIPT[ReceiptState.DELIVERED],
    )
    return found
