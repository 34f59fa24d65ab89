"""`/v1/groups`: the groups that alerts can be addressed to."""

from dataclasses import dataclass

from fastapi import APIRouter

from broadcast.api.authorization import Actor, Backing
from broadcast.api.routes.alerts import problems
from broadcast.audience.groups import GroupLine, list_groups

router = APIRouter(prefix="/v1/groups", tags=["directory"])


@dataclass(frozen=True, slots=True)
class GroupList:
    """All groups by name: people directly in each, and the groups within it."""

    groups: list[GroupLine]


@router.get("", responses=problems())
async def show_groups(services: Backing, _: Actor) -> GroupList:
    """All groups by name."""
    async with services.database() as connection:
        return GroupList(await list_groups(connection))
