"""`/v1/alarms`: what the system found wrong, and nobody has cleared."""

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter

from broadcast.alarms import list_alarms, runbook_of
from broadcast.api.authorization import Actor, Backing
from broadcast.api.routes.alerts import problems

router = APIRouter(prefix="/v1/alarms", tags=["operations"])


@dataclass(frozen=True, slots=True)
class AlarmBody:
    """One open alarm: `subject` is what it is about, `detail` says why and what to do.

    `runbook` is the section of the documents that says more.
    """

    id: int
    kind: str
    subject: str
    detail: str
    raised_at: datetime
    runbook: str


@dataclass(frozen=True, slots=True)
class AlarmList:
    """The open alarms, oldest first."""

    alarms: list[AlarmBody]


@router.get("", responses=problems())
async def show_alarms(services: Backing, _: Actor) -> AlarmList:
    """The open alarms, oldest first."""
    async with services.database() as connection:
        found = await list_alarms(connection)
    return AlarmList(
        [
            AlarmBody(alarm.id, alarm.kind, alarm.subject, alarm.detail, alarm.raised_at, runbook_of(alarm.kind))
            for alarm in found
        ]
    )
