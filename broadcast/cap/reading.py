"""CAP 1.2 XML to an alert, from anyone: nothing outside the document is read, every size has a ceiling (R22)."""

from dataclasses import dataclass, field
from typing import Any, NoReturn

from lxml import etree
from pydantic import ValidationError

from broadcast.cap.findings import CapError, Finding, Level, NotCap12Error, error, warning
from schemas.alert import ALERT_BYTES_MAX, PROBLEMS_MAX, Alert, problems_of

CAP12 = "urn:oasis:names:tc:emergency:cap:1.2"
CAP_BEFORE = {"http://www.incident.com/cap/1.0": "CAP 1.0", "urn:oasis:names:tc:emergency:cap:1.1": "CAP 1.1"}
SIGNATURES = "http://www.w3.org/2000/09/xmldsig#"

_SEQUENCES = {
    "alert": "identifier sender sent status msgType source scope restriction addresses code* note references incidents"
    " info*",
    "info": "language category* event responseType* urgency severity certainty audience eventCode* effective onset"
    " expires senderName headline description instruction web contact parameter* resource* area*",
    "resource": "resourceDesc mimeType size uri derefUri digest",
    "area": "areaDesc polygon* circle* geocode* altitude ceiling",
    "eventCode": "valueName value",
    "parameter": "valueName value",
    "geocode": "valueName value",
}

ORDER: dict[str, tuple[str, ...]] = {
    parent: tuple(child.rstrip("*") for child in text.split()) for parent, text in _SEQUENCES.items()
}
"""The children of each element that has any, in order."""

REPEATED: dict[str, frozenset[str]] = {
    parent: frozenset(child.rstrip("*") for child in text.split() if child.endswith("*"))
    for parent, text in _SEQUENCES.items()
}
"""Those children that may stand more than once."""

TOKENS = frozenset(
    {"identifier", "sender", "sent", "status", "msgType", "scope", "language", "category", "responseType", "urgency"}
    | {"severity", "certainty", "effective", "onset", "expires", "mimeType", "size", "altitude", "ceiling"}
    | {"event", "areaDesc", "resourceDesc", "valueName"}
)
"""Elements in whose text surrounding white space means nothing (R20)."""


MAY_BE_EMPTY = frozenset({"value", "category", "areaDesc"})
SHAPES = frozenset({"polygon", "circle"})

DEPTH_MAX = 16
NODES_MAX = 20_000
NAMESPACES_MAX = 20
"""Namespace declarations in a document; CAP needs one, and a signature another."""

ATTRIBUTES_MAX = 20
"""Attributes of one element of a signature; nobody reads them."""

XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
"""Attributes that any XML document may have on its root; they say nothing about its content."""


def read_cap(document: bytes) -> tuple[Alert, tuple[Finding, ...]]:
    """The alert of a CAP 1.2 document and the warnings of reading it; raises `CapError`.

    What `validate` has to say of the alert is not among them. Refused are a DOCTYPE, more than `ALERT_BYTES_MAX` bytes,
    `DEPTH_MAX` levels or `NODES_MAX` elements, attributes, elements that CAP does not have, and elements out of CAP's
    order. An optional element that is empty counts as absent (R17). A signature is not verified, and the warning says
    so (R19).
    """
    if len(document) > ALERT_BYTES_MAX:
        raise CapError([error("", "R22", f"has {len(document)} bytes, more than {ALERT_BYTES_MAX}; shorten it")])
    root = _parse(document)
    _check_root(root)
    reading = _Reading()
    content = reading.read(root, "alert", "")
    findings = reading.findings
    try:
        alert = Alert.model_validate(content)
    except ValidationError as fault:
        known = {finding.path for finding in findings if finding.level is Level.ERROR}
        findings += [error(*problem) for problem in problems_of(fault) if problem[0] not in known]
        raise CapError(findings) from None
    if any(finding.level is Level.ERROR for finding in findings):
        raise CapError(findings)
    return alert, tuple(findings)


def _parse(document: bytes) -> etree._Element:
    # The target sees each event before the tree grows, so a bomb ends at the ceiling and not after it.
    parser = etree.XMLParser(
        target=_Bounded(),
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
        load_dtd=False,
        dtd_validation=False,
    )
    try:
        parser.feed(document)
        root: etree._Element = parser.close()
    except etree.XMLSyntaxError as fault:
        raise CapError([error("", "xml", f"is not well-formed XML: {fault.msg}")]) from None
    return root


class _Bounded:
    def __init__(self) -> None:
        self.builder = etree.TreeBuilder()
        self.depth = self.nodes = self.namespaces = 0
        self.signature_depth = 0
        self.refused: CapError | None = None

    def refuse(self, message: str, rule: str = "R22") -> NoReturn:
        self.refused = CapError([error("", rule, message)])
        raise self.refused

    def doctype(self, *_: object) -> None:
        self.refuse("has a DOCTYPE; CAP needs none, remove it")

    def start(self, tag: Any, attrib: Any, nsmap: Any = ()) -> None:
        self.depth += 1
        self.nodes += 1
        self.namespaces += len(nsmap)
        if self.depth > DEPTH_MAX:
            self.refuse(f"is nested more than {DEPTH_MAX} levels deep")
        if self.nodes > NODES_MAX:
            self.refuse(f"has more than {NODES_MAX} elements")
        if self.namespaces > NAMESPACES_MAX:
            self.refuse(f"has more than {NAMESPACES_MAX} namespace declarations; declare each once, at the root")
        if not self.signature_depth and tag.startswith(f"{{{SIGNATURES}}}"):
            self.signature_depth = self.depth
        if attrib:
            self.check_attributes(tag, attrib)
        # Without attributes: to add one takes as long as there are others.
        if self.signature_depth in (0, self.depth):
            self.builder.start(tag, {})

    def check_attributes(self, tag: Any, attrib: Any) -> None:
        if len(attrib) > ATTRIBUTES_MAX:
            self.refuse(f"holds an element with {len(attrib)} attributes, more than {ATTRIBUTES_MAX}")
        if self.signature_depth:
            return
        for name in attrib:
            if not (self.depth == 1 and name.startswith(XSI)):
                element, attribute = etree.QName(tag).localname, etree.QName(name).localname
                self.refuse(f"<{element}> has the attribute {attribute[:40]}; CAP has none, remove it", "R21")

    def end(self, tag: str | bytes) -> None:
        if self.signature_depth in (0, self.depth):
            self.builder.end(tag)
        if self.signature_depth == self.depth:
            self.signature_depth = 0
        self.depth -= 1

    def data(self, data: str | bytes) -> None:
        # Of a signature only its element is kept.
        if not self.signature_depth:
            self.builder.data(data)

    def comment(self, text: str | bytes) -> None:
        """Comments are no content."""

    def close(self) -> etree._Element:
        # lxml closes the target after it raised, and what close raises is what the caller sees.
        if self.refused:
            raise self.refused
        return self.builder.close()


def _check_root(root: etree._Element) -> None:
    name = etree.QName(root)
    if name.namespace == CAP12 and name.localname == "alert":
        return
    if name.namespace in CAP_BEFORE:
        message = f"is {CAP_BEFORE[name.namespace]}, not CAP 1.2; send it with the namespace {CAP12}"
    elif name.localname == "alert":
        message = f"is in the namespace {name.namespace or '(none)'}; CAP 1.2 is {CAP12}"
    else:
        message = f"is <{name.localname}>, not a CAP 1.2 <alert>"
    raise NotCap12Error([error("", "R21", message)])


@dataclass
class _Reading:
    findings: list[Finding] = field(default_factory=list)
    errors: int = 0

    def fault(self, path: str, rule: str, message: str) -> None:
        """Note what refuses the document; raises `CapError` once there is as much of it as one error names."""
        self.findings.append(error(path, rule, message))
        self.errors += 1
        if self.errors == PROBLEMS_MAX:
            raise CapError(self.findings)

    def warn(self, path: str, rule: str, message: str) -> None:
        """Note what does not refuse it, at most `PROBLEMS_MAX` times."""
        if len(self.findings) - self.errors < PROBLEMS_MAX:
            self.findings.append(warning(path, rule, message))

    def read(self, element: etree._Element, kind: str, path: str) -> dict[str, Any]:
        """The content of an element that has children, by their names."""
        content: dict[str, Any] = {}
        place = 0
        if (element.text or "").strip() or any((child.tail or "").strip() for child in element):
            self.fault(path, "R21", f"<{kind}> holds text outside of its elements")
        for child in element:
            name = etree.QName(child)
            if name.namespace == SIGNATURES and kind == "alert":
                self.warn(path, "R19", "the signature was not verified")
                continue
            if name.namespace != CAP12 or name.localname not in ORDER[kind]:
                self.fault(_join(path, name.localname), "R21", f"<{kind}> has no such element in CAP 1.2")
                continue
            at = ORDER[kind].index(name.localname)
            if at < place:
                message = f"stands after <{ORDER[kind][place]}>; CAP's order is {' '.join(ORDER[kind])}"
                self.fault(_join(path, name.localname), "6.1", message)
            place = max(place, at)
            self.add(content, child, kind, name.localname, path)
        return content

    def add(self, content: dict[str, Any], child: etree._Element, kind: str, name: str, path: str) -> None:
        """Put one child where it belongs."""
        repeated = name in REPEATED[kind]
        here = f"{_join(path, name)}[{len(content.get(name, ()))}]" if repeated else _join(path, name)
        if name not in ORDER:
            value: Any = self.read_text(child, name, here)
            if not value.strip() and name not in MAY_BE_EMPTY:
                if name in SHAPES:
                    self.warn(here, "R17", "is empty, and was left out")
                return
        else:
            value = self.read(child, name, here)
        if repeated:
            content.setdefault(name, []).append(value)
        elif name in content:
            self.fault(here, "6.1", "stands more than once")
        else:
            content[name] = value

    def read_text(self, element: etree._Element, name: str, path: str) -> str:
        """The text of an element that has no children."""
        if len(element):
            inner = etree.QName(element[0]).localname
            self.fault(path, "R21", f"holds <{inner}>; CAP's texts hold no elements, escape or remove it")
        text = element.text or ""
        if name in TOKENS and text != text.strip():
            self.warn(path, "R20", "has white space around its value, which was left out")
            return text.strip()
        return text


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
