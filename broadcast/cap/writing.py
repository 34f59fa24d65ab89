"""An alert as CAP 1.2 XML."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from lxml import etree
from pydantic import BaseModel

from broadcast.cap.reading import CAP12, ORDER
from schemas.alert import Alert
from schemas.scalar import write_instant


def freshen(alert: Alert, identifier: str, now: datetime, lifetime_seconds: float) -> Alert:
    """The alert under another identifier, sent `now` (aware), all its infos expiring `lifetime_seconds` later.

    `effective` and `onset` are left out, so it is effective at once. Raises pydantic's ValidationError for an
    identifier that breaks R1.
    """
    sent = now.astimezone(UTC).replace(microsecond=0)
    times = {"effective": None, "onset": None, "expires": sent + timedelta(seconds=int(lifetime_seconds))}
    content = alert.model_dump()
    infos = [info | times for info in content["info"]]
    return Alert.model_validate(content | {"identifier": identifier, "sent": sent, "info": infos})


def reissue(alert: Alert, identifier: str, now: datetime) -> Alert:
    """The alert as a new message, sent `now` (aware), its other times moved by the same span.

    `references` stay as they are. Raises pydantic's ValidationError for an identifier that breaks R1 or a time that
    breaks R2.
    """
    sent = now.replace(microsecond=0).astimezone(alert.sent.tzinfo)
    moved = sent - alert.sent
    content = alert.model_dump()
    for info in content["info"]:
        info |= {name: info[name] + moved for name in ("effective", "onset", "expires") if info[name] is not None}
    return Alert.model_validate(content | {"identifier": identifier, "sent": sent})


MEDIA_TYPE = "application/cap+xml"


def write_cap(alert: Alert) -> bytes:
    """The alert as a CAP 1.2 document, UTF-8, elements in CAP's order.

    `groups` is not CAP's: groups that `addresses` does not name are added to it. Read again it is the same alert, but
    for that.
    """
    names = [*alert.addressed, *(group for group in alert.groups if group not in alert.addressed)]
    if alert.groups:
        alert = alert.model_copy(update={"addresses": " ".join(map(_quote, names))})
    root = etree.Element(f"{{{CAP12}}}alert", nsmap={None: CAP12})  # type: ignore[dict-item]
    _write(root, "alert", alert)
    etree.indent(root)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _write(parent: etree._Element, kind: str, element: BaseModel) -> None:
    values = {info.alias: getattr(element, name) for name, info in type(element).model_fields.items()}
    for name in ORDER[kind]:
        value = values[name]
        for item in value if isinstance(value, tuple) else (value,):
            if item is None:
                continue
            child = etree.SubElement(parent, f"{{{CAP12}}}{name}")
            if isinstance(item, BaseModel):
                _write(child, name, item)
            else:
                child.text = _text_of(item)


def _text_of(value: object) -> str:
    if isinstance(value, datetime):
        return write_instant(value)
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _quote(name: str) -> str:
    return f'"{name}"' if any(character.isspace() for character in name) else name
