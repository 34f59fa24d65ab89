"""A document that submits an alert: read, checked, and made into what Kafka gets.

All that is made here can be pickled: large documents, and those by area, are read in another process. The table of
areas is the only file that is read.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from broadcast.alerts.assessment import assess, read_content
from broadcast.alerts.documents.area_tables import FILE_RULE, AreaTables
from broadcast.alerts.publishing import alert_event, digest_of, event_record
from broadcast.alerts.unplanned import Unplanned, unplanned_of
from broadcast.cap import (
    GEOMETRY_UNITS,
    Finding,
    Level,
    groups_of_areas,
    read_cap,
    require_valid,
    warn_of_future,
    write_cap,
)
from broadcast.errors import InputError
from broadcast.kafka.batches import Record
from broadcast.lifecycle import ends_of, in_force
from broadcast.settings import Settings
from schemas.alert import GROUPS_MAX, Alert, AlertInvalidError, read_alert, write_event
from schemas.topics import Names


@dataclass(frozen=True, slots=True)
class Document:
    """What submits an alert that breaks no rule of CAP's, and the warnings on it.

    The alert itself stands in `record` only: a large one takes long to make of bytes, and bytes of it. `fault` says why
    the alert cannot reach anyone or stop anything, whatever the directory holds. `groups` are those that it names.
    """

    entry: Unplanned
    digest: bytes
    record: Record
    warnings: tuple[Finding, ...] = ()
    fault: InputError | None = None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Targets:
    """Target groups beside those that a document names: by name, and those of its areas in a file."""

    groups: tuple[str, ...] = ()
    areas_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """A body as it was handed in, CAP XML or JSON, by whom and when."""

    body: bytes
    is_xml: bool
    actor: str
    targets: Targets
    now: datetime


_tables = AreaTables()


def read_document(submitted: Submitted, settings: Settings, units: int = GEOMETRY_UNITS) -> Document:
    """The document of a body, with its targets added; InputError if it cannot be read, or breaks a rule.

    `units` is what looking at its polygons may cost; `UnfinishedError` if that is less than they need.
    """
    alert, remarks = (_read_xml if submitted.is_xml else _read_json)(submitted.body)
    targets, now = submitted.targets, submitted.now
    groups = [*alert.groups, *targets.groups]
    if targets.areas_file is not None and alert.info:
        table, why_old = _tables.require(targets.areas_file)
        if why_old:
            remarks = (*remarks, Finding(Level.WARNING, "by_area", FILE_RULE, why_old))
        ends = ends_of(alert, default_seconds=settings.default_expiry_seconds)
        groups += groups_of_areas(alert, in_force(ends, now) or range(len(ends)), table)
    groups = list(dict.fromkeys(groups))
    if len(groups) > GROUPS_MAX:
        message = f"has {len(groups)} groups, more than {GROUPS_MAX}; name a group that holds them"
        raise InputError(f"groups: {message} [6.1]", (("groups", "6.1", message),))
    if len(groups) > len(alert.groups):
        alert = alert.model_copy(update={"groups": tuple(groups)})
    found = check_document(alert, settings, actor=submitted.actor, now=now, units=units)
    return replace(found, warnings=(*remarks, *found.warnings))


def check_document(
    alert: Alert, settings: Settings, *, actor: str, now: datetime, units: int = GEOMETRY_UNITS
) -> Document:
    """An alert with its warnings; InputError if it breaks a rule of CAP's."""
    warnings = (*require_valid(alert, units), *warn_of_future(alert, now))
    event = alert_event(alert, actor=actor, now=now)
    content = read_content(alert, settings, now=now)
    fault = assess(alert, content, now=now).error
    digest = digest_of(alert)
    record = event_record(Names(settings.topic_prefix), event, digest=digest, value=write_event(event))
    plain = None if fault is None else InputError(str(fault), fault.findings)
    return Document(unplanned_of(event, alert), digest, record, warnings, plain, content.groups)


def write_stored_as_cap(document: bytes) -> bytes:
    """A stored alert, which is JSON, as CAP 1.2 XML."""
    return write_cap(read_alert(document))


def _read_xml(body: bytes) -> tuple[Alert, tuple[Finding, ...]]:
    return read_cap(body)


def _read_json(body: bytes) -> tuple[Alert, tuple[Finding, ...]]:
    try:
        return read_alert(body), ()
    except AlertInvalidError as error:
        raise InputError(str(error), error.problems) from None
