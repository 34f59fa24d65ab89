"""`/v1/alerts/{id}/summary`, `/deliveries`, and one recipient's history: the audit over HTTP."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from broadcast.api.alerts import problems, unknown
from broadcast.api.authorization import Actor, Backing
from broadcast.audit.summary import Summary, UnknownAlertError, summary

router = APIRouter(prefix="/v1/alerts/{alert_id}", tags=["audit"])


@router.get("/summary", response_model=Summary, responses=problems(404))
async def show_summary(
    request: Request,
    alert_id: UUID,
    services: Backing,
    _: Actor,
    exact: Annotated[bool, Query(description="count every attempt anew; seconds for a million")] = False,
) -> Summary:
    """How many recipients are in which state; their sum is the audience, or `gap` says what is missing."""
    request.state.alert_id = alert_id
    deadline = timedelta(seconds=services.settings.receipt_deadline_seconds)
    async with services.database() as connection:
        try:
            return await summary(connection, alert_id, exact=exact, receipt_deadline=deadline)
        except UnknownAlertError:
            raise unknown(alert_id) from None
