"""The expansion of an alert as it follows from PostgreSQL, and what a record may not say against it.

Whoever can write to Kafka can write an expansion of any alert. So a record only says which alert, and which chunk of
it; for whom the alert is, and how it is sent, is read from its row. A record that says something else is a dead letter.
"""

from collections import OrderedDict
from collections.abc import Sequence
from reprlib import repr as shortened
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from broadcast.alerts.assessment import read_content
from broadcast.alerts.store import StoredAlert, read_stored
from broadcast.cap import languages_of
from broadcast.clock import utc_now
from broadcast.database import Connection
from broadcast.errors import PoisonError
from broadcast.lifecycle import participants_only
from broadcast.settings import Settings
from schemas.control import Control, Variant
from schemas.expansion import Expansion
from schemas.topics import Names

FIELDS: Final = ("lane", "status", "groups", "expires_at", "participants_only")
"""What the record of an audience and of a chunk may not say otherwise. Languages are never read from a record."""

KEPT_MAX: Final = 32
"""The latest alerts of which the expansion is kept, so that not each chunk asks for it."""


def expansion_of(stored: StoredAlert, variants: Sequence[Variant]) -> Expansion:
    """The expansion that resolves the audience of an alert. Pure."""
    return Expansion(
        kind="audience",
        alert_id=stored.alert_id,
        lane=stored.lane,
        status=stored.status,
        groups=stored.groups,
        expires_at=int(stored.expires_at.timestamp() * 1000),
        languages=languages_of(variants),
        participants_only=participants_only(stored.status),
        chunks=stored.chunks or 0,
    )


def contradiction_of(asked: Expansion, stored: Expansion) -> str:
    """The first field in which a record differs from what is stored of its alert; empty if none does. Pure."""
    for field in FIELDS:
        said, right = getattr(asked, field), getattr(stored, field)
        if said != right:
            return f"{field}: is {shortened(said)}, and the stored alert has {shortened(right)}"
    if asked.kind == "chunk":
        if not stored.chunks:
            return f"chunk: {asked.chunk} is not stored; resolve its audience first"
        if asked.chunks != stored.chunks or asked.chunk >= stored.chunks:
            return f"chunk: is {asked.chunk} of {asked.chunks}, and the stored audience has {stored.chunks} chunks"
    return ""


async def require_expansion(connection: Connection, asked: Expansion, settings: Settings) -> Expansion:
    """The stored expansion that a record asks for, of an audience or a chunk; without a lock.

    PoisonError where the alert is not stored, not planned or finished, and where the record contradicts it.
    """
    stored = await read_stored(connection, asked.alert_id)
    if stored is None:
        raise not_stored(asked.alert_id, settings)
    if stored.planned_at is None:
        raise PoisonError(f"alert_id: {asked.alert_id} is {stored.state} and was never planned: nobody is sent it")
    if stored.finished:
        raise PoisonError(f"alert_id: {asked.alert_id} is finished: each of its recipients has an outcome")
    return _checked(asked, expansion_of(stored, _variants_of(stored, settings)))


def not_stored(alert_id: UUID, settings: Settings) -> PoisonError:
    """That an expansion is of an alert that nobody has published."""
    return PoisonError(f"alert_id: {alert_id} is not stored; publish alerts on {Names(settings.topic_prefix).alerts}")


class StoredExpansions:
    """The expansions of the latest alerts, as PostgreSQL has them; nothing changes them once chunks are stored."""

    def __init__(self, pool: asyncpg.Pool, settings: Settings) -> None:
        self._pool = pool
        self._settings = settings
        self._kept: OrderedDict[UUID, Expansion] = OrderedDict()

    async def require(self, asked: Expansion) -> Expansion:
        """What the record of a chunk asks for, as it is stored; PoisonError where it contradicts that."""
        kept = self._kept.get(asked.alert_id)
        if kept is None:
            async with self._pool.acquire() as connection:
                kept = await require_expansion(connection, asked, self._settings)
            self._kept[asked.alert_id] = kept
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return _checked(asked, kept)


def _checked(asked: Expansion, stored: Expansion) -> Expansion:
    contradiction = contradiction_of(asked, stored)
    if contradiction:
        raise PoisonError(f"{contradiction}; nobody is sent it by this record: publish alerts, not expansions")
    return stored.model_copy(update={"kind": asked.kind, "chunk": asked.chunk})


def _variants_of(stored: StoredAlert, settings: Settings) -> Sequence[Variant]:
    if stored.control is not None:
        return msgspec.json.decode(stored.control, type=Control).variants
    # An alert that was planned by a version that did not keep the control record.
    return read_content(stored.alert, settings, now=stored.planned_at or utc_now()).variants
