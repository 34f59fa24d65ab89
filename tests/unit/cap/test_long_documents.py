"""CAP documents with as many elements of one kind as fit: refused at once, and findings that do not grow with them."""

import time
import tracemalloc

import pytest

from broadcast.cap import CapError, read_cap, validate
from broadcast.cap.reading import NODES_MAX, REPEATED
from schemas.alert import ALERT_BYTES_MAX, PROBLEMS_MAX
from tests.unit.cap.test_cap_reading import document

CPU_SECONDS = 0.4
MEMORY_TIMES = 20
"""An element of a tree takes more than a value of JSON."""

FREE = 20
"""Elements of the smallest alert, and a few more."""


def repeated(parent: str, piece: str) -> bytes:
    pieces = piece * min((NODES_MAX - FREE) // piece.count("</"), (ALERT_BYTES_MAX - 2_000) // len(piece))
    if parent == "alert":
        return document(pieces)
    if parent == "info":
        return document(info=pieces)
    inner = {"area": f"<area><areaDesc>a</areaDesc>{pieces}</area>", "resource": f"<resource>{pieces}</resource>"}
    return document(info=inner[parent])


CASES = [
    *((parent, f"<{name}>x</{name}>") for parent, names in REPEATED.items() if parent != "alert" for name in names),
    *(("alert", f"<{name}><x></x></{name}>") for name in REPEATED["alert"]),
    ("alert", "<colour></colour>"),
    ("alert", "<note>a</note>"),
    ("info", "<language>de</language>"),
    ("resource", "<colour></colour>"),
    ("alert", '<note xmlns="urn:x"></note>'),
]


@pytest.mark.parametrize(("parent", "piece"), CASES)
def test_a_document_of_one_repeated_element_is_refused_at_once(parent: str, piece: str) -> None:
    text = repeated(parent, piece)
    assert len(text) <= ALERT_BYTES_MAX
    tracemalloc.start()
    try:
        with pytest.raises(CapError):
            read_cap(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    began = time.thread_time()
    with pytest.raises(CapError) as caught:
        read_cap(text)
    assert time.thread_time() - began < CPU_SECONDS
    assert len(caught.value.findings) <= PROBLEMS_MAX
    assert len(caught.value.details) <= 2 * PROBLEMS_MAX
    assert peak < MEMORY_TIMES * len(text)


def test_an_alert_has_a_bounded_number_of_warnings() -> None:
    area = "<area><areaDesc> a </areaDesc>" + "<polygon></polygon><polygon>0,0 0,1 0,0 0,0</polygon>" * 900 + "</area>"
    alert, findings = read_cap(document(info=area * 3))
    assert len(findings) == PROBLEMS_MAX
    assert len(validate(alert)) < 2 * PROBLEMS_MAX
