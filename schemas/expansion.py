"""Work of the expander, on `expansions.<lane>.v1`: an audience, or one chunk of one."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from schemas.bounds import (
    ALERT_BYTES_MAX,
    LANGUAGE_LENGTH_MAX,
    NAME_LENGTH_MAX,
    VARIANTS_MAX,
    YEAR_10000,
)
from schemas.lane import Lane

Number = Annotated[int, Field(ge=0, lt=2**31)]
"""What PostgreSQL keeps in an integer."""

VariantIndex = Annotated[int, Field(ge=0, lt=VARIANTS_MAX)]
Language = Annotated[str, Field(max_length=LANGUAGE_LENGTH_MAX)]
Group = Annotated[str, Field(max_length=ALERT_BYTES_MAX)]
"""A name in `addresses` may fill the whole alert."""


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
    status: Annotated[str, Field(max_length=NAME_LENGTH_MAX)]
    groups: Annotated[tuple[Group, ...], Field(max_length=ALERT_BYTES_MAX // 2)]
    expires_at: Annotated[int, Field(ge=0, lt=YEAR_10000)]
    languages: Annotated[dict[Language, VariantIndex], Field(max_length=2 * VARIANTS_MAX)]
    default_variant: VariantIndex = 0
    participants_only: bool = False
    chunk: Number = 0
    chunks: Number = 0
