"""The elements of CAP 1.2 in the order of its schema, as one table (OASIS CAP-v1.2, section 3.2)."""

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
)
"""Elements in whose text surrounding white space means nothing (R20)."""
