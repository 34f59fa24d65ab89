"""What one alert event does to alerts, stored; and the records that follow from what is stored.

Facts first, records second: the records are a function of the facts that this event left, so an event that is read
again after a crash, in whatever state that left things, gives the same records. The control record is a fact itself:
it is stored when the alert is planned, so that neither other settings nor another version ever change it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
import structlog

from broadcast import metrics
from broadcast.alarms import ALERT_NOT_SENT, raise_alarm
from broadcast.alerts.assessment import Content, Facts, assess, read_content, read_unchecked, why_alarm
from broadcast.alerts.expansions import expansion_of
from broadcast.alerts.publishing import digest_of, stop_record
from broadcast.alerts.referenced import lock_known
from broadcast.alerts.store import (
    StoredAlert,
    find_earlier,
    insert_and_lock,
    keep_control,
    lock_alert,
    move_alert,
    record_event,
    recorded_at,
    set_audience,
)
from broadcast.alerts.trial import aim_of
from broadcast.audience import find_doubts, has_people, missing_groups, suggest
from broadcast.database import Connection
from broadcast.kafka.batches import Record
from broadcast.lifecycle import (
    ACTIONS,
    INCOMPLETE,
    Action,
    AlertState,
    Decision,
    Known,
    Transition,
    may_happen,
    participants_only,
)
from broadcast.routing import Route, Simulation, simulation_of
from broadcast.settings import Settings
from schemas.alert import Alert, AlertAction, AlertEvent
from schemas.control import Control, Variant
from schemas.topics import Names

log = structlog.get_logger(__name__)

DUPLICATE = "duplicate"
CONFLICT = "conflict"
IGNORED = "ignored"

ASKED: dict[AlertAction, Transition] = {
    AlertAction.APPROVED: Transition.APPROVED,
    AlertAction.REJECTED: Transition.REJECTED,
    AlertAction.RETURNED: Transition.RETURNED,
    AlertAction.CANCELLED: Transition.CANCELLED,
}
"""What an event other than `submitted` asks to happen."""

PLANNED = frozenset({Transition.PLANNED.value, Transition.APPROVED.value})
STOPPED = frozenset({Transition.CANCELLED.value, Transition.SUPERSEDED.value})


class Planned(NamedTuple):
    """The records that follow from one event: `control` for the senders, `expansions` for the expander.

    All of `control` is in Kafka before the transaction with `expansions` begins, and in none (`docs/adr/0012`).
    """

    control: Sequence[Record] = ()
    expansions: Sequence[Record] = ()


@dataclass
class Planning:
    """The work on one event at `offset`, within one transaction on `connection`. `now` is an aware instant."""

    connection: Connection
    asked: AlertEvent
    offset: int
    settings: Settings
    routes: Sequence[Route]
    now: datetime
    touched: list[UUID] = field(default_factory=list)

    async def plan(self) -> Planned:
        """Store what the event does; the records that follow."""
        self.touched.append(self.asked.alert_id)
        content: Content | None = None
        if self.asked.event is AlertAction.SUBMITTED and self.asked.alert is not None:
            content = await asyncio.to_thread(read_unchecked, self.asked.alert, self.settings, now=self.now)
            if not await self._submit(self.asked.alert, content):
                return Planned()
        else:
            await self._apply(ASKED[self.asked.event])
        return await self._records(content)

    async def _submit(self, alert: Alert, content: Content) -> bool:
        stored = await insert_and_lock(
            self.connection,
            self.asked,
            offset=self.offset,
            lane=content.lane,
            groups=content.groups,
            expires_at=content.expires_at,
        )
        if stored.event_offset != self.offset or stored.digest != digest_of(alert):
            await self._note_repeated(alert, stored)
            return False
        known = await lock_known(self.connection, alert.referred) if alert.referred else []
        self.touched += [entry.alert_id for entry in known]
        if stored.state is AlertState.ACCEPTED:
            await self._note(stored.alert_id, AlertAction.SUBMITTED)
            facts = await self._read_facts(alert, stored, known)
            rehearsal = self.settings.rehearsal
            found = assess(alert, content, now=self.now, routes=self.routes, facts=facts, rehearsal=rehearsal)
            action = found.decision.action
            metrics.alerts.labels(alert.status, alert.msg_type, found.transition).inc()
            log.info("alert_decided", transition=found.transition, action=action, lane=stored.lane, reason=found.reason)
            simulated = None
            if found.transition is Transition.PLANNED and action is not Action.STOP:
                simulated = simulation_of(self.routes, alert.status)
            await self._move(stored.alert_id, stored.state, found.transition, found.reason, simulated)
            alarm = why_alarm(alert, content, found, received_at=self.asked.at)
            if alarm is not None:
                await raise_alarm(self.connection, ALERT_NOT_SENT, str(stored.alert_id), alarm)
            if found.transition is Transition.PLANNED:
                await self._replace(alert, stored, found.decision, {entry.alert_id: entry.state for entry in known})
                if found.decision.left:
                    await self._note(stored.alert_id, INCOMPLETE, found.reason)
        return True

    async def _read_facts(self, alert: Alert, stored: StoredAlert, known: Sequence[Known]) -> Facts:
        connection = self.connection
        updates = ACTIONS[alert.status, alert.msg_type] is Action.SUPERSEDE
        earlier = await find_earlier(connection, stored.alert_id, alert, self.offset)
        missing = await missing_groups(connection, stored.groups)
        return Facts(
            known=known,
            namesake=earlier.namesake,
            cancelled=earlier.cancelled,
            replaced_by=earlier.replaced_by,
            missing_groups=missing,
            suggestion=suggest(await find_doubts(connection, missing)) if missing else "",
            has_people=not updates
            or await has_people(connection, stored.groups, participants_only=participants_only(alert.status)),
        )

    async def _replace(
        self, alert: Alert, stored: StoredAlert, decision: Decision, states: dict[UUID, AlertState]
    ) -> None:
        # What an Update or a Cancel names comes to its end with it (L2, L3).
        cancels = decision.action is Action.STOP
        transition = Transition.CANCELLED if cancels else Transition.SUPERSEDED
        for alert_id in decision.alert_ids:
            await self._move(alert_id, states[alert_id], transition, f"by {alert.reference}")
        for alert_id in decision.remembered:
            # No stop: whether the two belong together is known when it comes.
            await self._note(alert_id, transition, f"by {alert.reference}, before it came")
        if cancels:
            # It is sent to nobody, so it is done when what it names is stopped.
            await set_audience(self.connection, stored.alert_id, audience=0, suppressed=0, chunks=0, chain=None)
            state = await self._move(stored.alert_id, AlertState.EXPANDING, Transition.EXPANDED)
            await self._move(stored.alert_id, state, Transition.FINISHED)

    async def _note_repeated(self, alert: Alert, stored: StoredAlert) -> None:
        # L1: the same again is nothing new; another alert by the same name is a conflict, and is not sent.
        same = stored.digest == digest_of(alert)
        word = DUPLICATE if same else CONFLICT
        why = None if same else "another alert has this sender, identifier and sent; give this one its own identifier"
        if not same:
            what = f"nobody is sent the second of two alerts with one name ({alert.reference}): {why}"
            await raise_alarm(self.connection, ALERT_NOT_SENT, str(stored.alert_id), what)
        log.info("alert_repeated", result=word, first_offset=stored.event_offset, offset=self.offset)
        metrics.alerts.labels(alert.status, alert.msg_type, word).inc()
        await self._note(stored.alert_id, word, why)

    async def _apply(self, transition: Transition) -> None:
        alert_id = self.asked.alert_id
        stored = await lock_alert(self.connection, alert_id)
        if (alert_id, transition.value) in await recorded_at(self.connection, [alert_id], self.offset):
            return
        if stored is not None and may_happen(stored.state, transition):
            await self._move(alert_id, stored.state, transition, self.asked.reason)
        elif stored is None and transition is Transition.CANCELLED:
            # The alert may come later: it will find this note, and the stop stands (L5).
            await self._note(alert_id, transition, self.asked.reason)
        else:
            await self._note(alert_id, IGNORED, f"{transition}: the alert is {stored.state if stored else 'not known'}")

    async def _records(self, content: Content | None) -> Planned:
        facts = await recorded_at(self.connection, self.touched, self.offset)
        stopped = {alert_id for alert_id, event in facts if event in STOPPED}
        if self.asked.event is AlertAction.CANCELLED:
            stopped.add(self.asked.alert_id)
        stops = [self._stop_of(alert_id) for alert_id in sorted(stopped)]
        if any(alert_id == self.asked.alert_id and event in PLANNED for alert_id, event in facts):
            stored = await lock_alert(self.connection, self.asked.alert_id)
            # An audience that is known was asked for by a transaction that is long committed.
            if stored is not None and stored.state is AlertState.EXPANDING and stored.audience is None:
                control, expansion = await self._records_of(stored, content)
                return Planned([*stops, control], [expansion])
        return Planned(stops)

    async def _records_of(self, stored: StoredAlert, content: Content | None) -> tuple[Record, Record]:
        names = Names(self.settings.topic_prefix)
        key = str(stored.alert_id).encode()
        if stored.control is None:
            at = stored.planned_at or self.now
            if content is None or at != self.now:
                # An info may have ended since it was planned, by a version that did not keep the control record.
                content = read_content(stored.alert, self.settings, now=at)
            made = self._control_of(stored, content.require_variants())
            value = await keep_control(self.connection, stored.alert_id, msgspec.json.encode(made))
        else:
            value = stored.control
        control = msgspec.json.decode(value, type=Control)
        expansion = expansion_of(stored, control.variants)
        return (
            Record(names.control, key, value),
            Record(names.expansions(stored.lane), key, expansion.model_dump_json().encode()),
        )

    def _control_of(self, stored: StoredAlert, variants: tuple[Variant, ...]) -> Control:
        trial, account = aim_of(stored.alert)
        return Control(
            alert_id=str(stored.alert_id),
            lane=stored.lane,
            status=stored.status.value,
            expires_at=int(stored.expires_at.timestamp() * 1000),
            variants=variants,
            trial=trial,
            account=account,
            for_phones=stored.simulated is Simulation.NONE,
        )

    def _stop_of(self, alert_id: UUID) -> Record:
        names, asked = Names(self.settings.topic_prefix), self.asked
        return stop_record(names, alert_id, actor=asked.actor, reason=asked.reason or "", now=asked.at)

    async def _move(
        self,
        alert_id: UUID,
        state: AlertState,
        transition: Transition,
        reason: str | None = None,
        simulated: Simulation | None = None,
    ) -> AlertState:
        following = await move_alert(
            *(self.connection, alert_id, state, transition), at=self.now, reason=reason or None, simulated=simulated
        )
        await self._note(alert_id, transition, reason)
        return following

    async def _note(self, alert_id: UUID, event: str, reason: str | None = None) -> None:
        asked = self.asked
        await record_event(
            *(self.connection, alert_id, self.offset, str(event)),
            actor=asked.actor,
            at=asked.at,
            reason=reason or None,
        )
