"""One publication: known already, or in conflict, or put on Kafka."""

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from uuid import UUID

from broadcast import metrics
from broadcast.alerts.documents.document import Document
from broadcast.alerts.publishing import request_id_of, with_request_id
from broadcast.alerts.queries import find_digest
from broadcast.api.documents import refusal, too_large
from broadcast.api.problems import Problem, unavailable
from broadcast.api.register import Published
from broadcast.api.services import Services
from broadcast.audience import explain_doubts, find_doubts
from broadcast.cap import Finding, Level
from schemas.alert import ALERT_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of a publication: `repeated` says that the alert had been accepted before."""

    alert_id: UUID
    repeated: bool
    warnings: tuple[Finding, ...]


async def submit(services: Services, document: Document, *, actor: str, idempotency_key: str | None) -> Submission:
    """Publish an alert once: all in-sync replicas have its event when this returns.

    The same alert, or the same Idempotency-Key with the same alert, gives the same answer and no second event. The same
    sender, identifier and sent with other content is a 409 problem, an Idempotency-Key with another alert a 422.
    """
    if not services.register.complete.is_set():
        raise unavailable("kafka", "the alerts that were published lately have not been read yet; repeat the request")
    asked = Published(document.entry.alert_id, document.digest)
    request_id = request_id_of(actor, idempotency_key) if idempotency_key else None
    async with services.lock(asked.alert_id):
        if request_id is None:
            return await _submit(services, asked, None, document)
        async with services.lock(request_id):
            return await _submit(services, asked, request_id, document)


async def _submit(services: Services, asked: Published, request_id: UUID | None, document: Document) -> Submission:
    entry, warnings = document.entry, document.warnings
    before = services.register.request(request_id) if request_id else None
    if before is not None and before != asked:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "idempotency-key-reused",
            "this Idempotency-Key was used for another alert; use a new key for a new alert",
            findings=[("Idempotency-Key", "M5", f"was used for alert {before.alert_id}")],
            alert_id=str(before.alert_id),
        )
    known = services.register.alert(asked.alert_id) or await _stored(services, asked.alert_id)
    if known is not None and known.digest != asked.digest:
        message = f"sender, identifier and sent are those of alert {asked.alert_id}, which says something else"
        raise Problem(
            HTTPStatus.CONFLICT,
            "alert-conflict",
            f"{message}; a changed alert needs a new identifier (and msgType Update with references)",
            findings=[("identifier", "L1", message)],
            alert_id=str(asked.alert_id),
        )
    if known is not None:
        services.register.remember(known, request_id)
        metrics.alerts.labels(entry.status, entry.msg_type, "repeated").inc()
        warnings = (*warnings, *await _warn_of_groups(services, document))
        return Submission(asked.alert_id, repeated=True, warnings=warnings)
    if document.fault is not None:
        raise refusal(document.fault)
    record = with_request_id(document.record, request_id) if request_id is not None else document.record
    if len(record.value) > ALERT_BYTES_MAX:  # readers of the topic would refuse it
        raise too_large(len(record.value))
    await services.publisher.write([record])
    services.register.remember(asked, request_id)
    services.register.unplanned.keep(entry)
    metrics.alerts.labels(entry.status, entry.msg_type, "accepted").inc()
    return Submission(asked.alert_id, repeated=False, warnings=(*warnings, *await _warn_of_groups(services, document)))


async def _warn_of_groups(services: Services, document: Document) -> tuple[Finding, ...]:
    # After the event is written: nothing waits for these, and without the database there are none.
    if not document.groups:
        return ()
    _, doubts = await services.ask(partial(find_doubts, groups=document.groups))
    texts = explain_doubts(doubts or (), document.groups)
    return tuple(Finding(Level.WARNING, "addresses", "M6", text) for text in texts)


async def _stored(services: Services, alert_id: UUID) -> Published | None:
    _, digest = await services.ask(partial(find_digest, alert_id=alert_id))
    return Published(alert_id, digest) if digest is not None else None
