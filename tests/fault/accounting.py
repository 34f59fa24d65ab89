"""The account of a broadcast after faults: who was lost, who was reached twice, and whether the audit says so."""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from broadcast.alarms import LOCK_HELD, PROCESS_SILENT, SERVER_AWAY
from broadcast.audit import UnknownAlertError, rebuild_check, summary, verify
from broadcast.audit.codes import CODE_OF_OUTCOME
from broadcast.clock import monotonic
from broadcast.embedded.demonstration import simulator_numbers
from schemas.status import DeliveryState, Outcome
from tests.fault.system import SystemUnderTest

STALL_SECONDS = 45.0
"""Nothing changed for so long: whoever is left is lost. Above a session and a supervisor's longest pause."""
POLL_SECONDS = 0.2
SHOWN = 5
OF_FAULTS = (PROCESS_SILENT, LOCK_HELD, SERVER_AWAY)
"""What a test that kills or freezes a process brings about; the test of frozen processes looks at these."""


@dataclass(frozen=True)
class Account:
    """What became of the recipients of some alerts; lists hold recipient ids."""

    audience: int
    states: dict[str, int]
    lost: list[int]
    """in the audience, never seen by the simulator"""
    duplicates: int
    """messages beyond the first, over all numbers"""
    unmarked: list[int]
    """reached more than once without a `possible_duplicate` in the audit"""
    marked: int
    """recipients with a `possible_duplicate`"""
    strangers: int
    """numbers the simulator saw though no alert of this system has them in its audience"""
    unknown: list[int] = field(default_factory=list)
    """in the audience, never seen by the simulator, and the audit says of all their attempts that nobody knows"""
    faults: list[str] = field(default_factory=list)
    """what the audit found wrong with itself"""
    alarms: list[str] = field(default_factory=list)

    @property
    def final(self) -> int:
        """Recipients that are not queued."""
        return sum(self.states.values()) - self.states.get(DeliveryState.QUEUED, 0)

    def check(
        self, *, duplicates_at_most: int = 0, marks_at_most: int | None = None, unknown_allowed: bool = False
    ) -> None:
        """Fail with counts and first ids if anybody was lost, or spammed beyond what is allowed.

        `unknown_allowed` where an SMSC may lose a submit and each resend that `resend_unanswered` allows.
        """
        problems = [
            text
            for wrong, text in (
                (self.final != self.audience, f"{self.audience - self.final} of {self.audience} are not final"),
                (self.lost, f"{len(self.lost)} never reached the simulator: {self.lost[:SHOWN]}"),
                (
                    self.unknown and not unknown_allowed,
                    f"{len(self.unknown)} are unknown and never reached the simulator: {self.unknown[:SHOWN]}",
                ),
                (self.duplicates > duplicates_at_most, f"{self.duplicates} duplicates, allowed {duplicates_at_most}"),
                (self.unmarked, f"{len(self.unmarked)} reached twice without a mark: {self.unmarked[:SHOWN]}"),
                (
                    marks_at_most is not None and self.marked > marks_at_most,
                    f"{self.marked} are marked, allowed {marks_at_most}",
                ),
                (self.strangers, f"{self.strangers} numbers were reached that no audience holds"),
                (self.faults, f"the audit is not sound: {self.faults[:SHOWN]}"),
                (self.alarms, f"alarms: {self.alarms[:SHOWN]}"),
            )
            if wrong
        ]
        assert not problems, f"{'; '.join(problems)}. States: {self.states}"


async def wait_final(
    system: SystemUnderTest, alerts: Collection[UUID], *, budget_seconds: float, submitted: bool = False
) -> dict[str, int]:
    """Wait until each alert has an audience and nobody in it is queued (nor, unless `submitted`, without a receipt).

    The sum of the states over all alerts. Fails with it when nothing changes any more, or the budget is over.
    """
    deadline = monotonic() + budget_seconds
    changed_at, before = monotonic(), Counter[str]()
    open_states = {DeliveryState.QUEUED} if submitted else {DeliveryState.QUEUED, DeliveryState.SUBMITTED}
    finished: Counter[str] = Counter()
    pending = list(alerts)
    while True:
        found = await _states(system, pending)
        states = sum(found.values(), Counter(finished))
        for alert, counts in found.items():
            if counts and not any(counts[state] for state in open_states):
                finished += counts
                pending.remove(alert)
        if not pending:
            return dict(finished)
        if states != before:
            changed_at, before = monotonic(), states
        now = monotonic()
        left = f"{dict(states)}, {len(pending)} of {len(alerts)} alerts are open, such as {pending[:SHOWN]}"
        assert now - changed_at < STALL_SECONDS, f"nothing changes any more: {left}"
        assert now < deadline, f"not done in {budget_seconds} s: {left}"
        await asyncio.sleep(POLL_SECONDS)


async def _states(system: SystemUnderTest, alerts: Sequence[UUID]) -> dict[UUID, Counter[str]]:
    """Recipients by state of each alert; none at all as long as its audience is not known."""
    found: dict[UUID, Counter[str]] = {}
    async with system.database() as connection:
        for alert in alerts:
            try:
                one = await summary(connection, alert)
            except UnknownAlertError:
                found[alert] = Counter()
                continue
            known = one.counts if one.audience is not None else {}
            found[alert] = Counter({state.value: count for state, count in known.items() if count})
    return found


async def draw_up(system: SystemUnderTest, alerts: Sequence[UUID], *, expected_alarms: Collection[str] = ()) -> Account:
    """The account of these alerts, counted row by row; its alarms but the expected kinds are named."""
    seen = await simulator_numbers(system.stack.simulator_url)
    states: dict[str, int] = {}
    faults: list[str] = []
    audience = 0
    async with system.database() as connection:
        for alert in alerts:
            exact = await summary(connection, alert, exact=True)
            audience += exact.audience or 0
            for state, count in exact.counts.items():
                if count:
                    states[state.value] = states.get(state.value, 0) + count
            if not exact.sound:
                faults.append(
                    f"alert {alert}: gap {exact.gap}, outsiders {exact.outside_audience}, counters {exact.differences}"
                )
        faults += (await verify(connection)).faults
        faults += (await rebuild_check(connection)).faults
        numbers = await _numbers(connection, alerts)
        marked = await _marked(connection, alerts)
        everyone = await _everyone(connection)
        unseen = {recipient for number, recipient in numbers.items() if number not in seen}
        unknown = await _unknown(connection, alerts, unseen)
        alarms = await connection.fetch(
            "SELECT kind, subject, detail FROM alarms WHERE kind <> ALL ($1::text[]) AND id > $2",
            [*expected_alarms, *OF_FAULTS],
            system.last_alarm_before,
        )
    repeated = {recipient: seen[number] - 1 for number, recipient in numbers.items() if seen.get(number, 0) > 1}
    return Account(
        audience=audience,
        states=states,
        lost=sorted(unseen - unknown),
        unknown=sorted(unknown),
        duplicates=sum(repeated.values()),
        unmarked=sorted(repeated.keys() - marked),
        marked=len(marked),
        strangers=len(seen.keys() - everyone),
        faults=faults,
        alarms=[f"{row['kind']} {row['subject']}: {row['detail']}" for row in alarms],
    )


async def _numbers(connection: asyncpg.Connection, alerts: Sequence[UUID]) -> dict[int, int]:
    """Number to recipient id, of the alerts' audiences without the suppressed."""
    rows = await connection.fetch(
        """
        SELECT substr(r.msisdn, 2)::bigint AS number, r.id FROM recipients r
        WHERE r.suppressed IS NULL AND r.id IN (SELECT unnest(recipients) FROM chunks WHERE alert_id = ANY ($1))
        """,
        list(alerts),
    )
    return {row["number"]: row["id"] for row in rows}


async def _everyone(connection: asyncpg.Connection) -> set[int]:
    rows = await connection.fetch(
        "SELECT substr(msisdn, 2)::bigint AS number FROM recipients WHERE id IN (SELECT unnest(recipients) FROM chunks)"
    )
    return {row["number"] for row in rows}


async def _marked(connection: asyncpg.Connection, alerts: Sequence[UUID]) -> set[int]:
    rows = await connection.fetch(
        "SELECT DISTINCT recipient_id FROM attempts WHERE possible_duplicate AND alert_id = ANY ($1)", list(alerts)
    )
    return {row["recipient_id"] for row in rows}


async def _unknown(connection: asyncpg.Connection, alerts: Sequence[UUID], unseen: Collection[int]) -> set[int]:
    rows = await connection.fetch(
        """
        SELECT recipient_id FROM attempts WHERE alert_id = ANY ($1) AND recipient_id = ANY ($2)
        GROUP BY recipient_id HAVING bool_and(outcome = $3)
        """,
        list(alerts),
        list(unseen),
        CODE_OF_OUTCOME[Outcome.UNKNOWN],
    )
    return {row["recipient_id"] for row in rows}
