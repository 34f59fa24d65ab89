"""Work of the expander, on `expansions.<lane>.v1`: an audience, or one chunk of one."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from schemas.lane import Lane

Number = Annotated[int, Field(ge=0, lt=2**31)]
"""What PostgreSQL keeps in an integer."""


class Expansion(BaseModel):
    """Resolve an audience (`kind` audience) or produce the jobs of one of its chunks (`kind` chunk).

    `languages` maps a lower-case language tag to the index of a variant; tags missing from it fall back
    by their primary subtag, then to `default_variant`. `participants_only` limits an exercise.
    `expires_at` is in milliseconds since the epoch. `chunk` counts from 0 to `chunks` - 1; all of an alert's are on one
    partition, so the last comes last. Unknown fields are ignored: old and new stages run side by side.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["audience", "chunk"]
    alert_id: UUID
    lane: Lane
    status: str
    groups: tuple[str, ...]
    expires_at: int
    languages: dict[str, int]
    default_variant: int = 0
    participants_only: bool = False
    chunk: Number = 0
    chunks: Number = 0
