"""An alert as CAP 1.2 XML."""

from datetime import datetime
from decimal import Decimal

from lxml import etree
from pydantic import BaseModel

from broadcast.cap.structure import CAP12, ORDER
from schemas.alert import Alert
from schemas.scalar import write_instant

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
