"""CAP XML from anyone: what is read, what is found, and what is refused before it costs anything."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from broadcast.cap import CapError, Level, NotCap12Error, read_cap, validate, write_cap
from broadcast.cap.reading import CAP12, ORDER, REPEATED
from schemas.alert import ALERT_BYTES_MAX, Alert, Area, Info, Resource, ValuePair, alert_id_of, read_alert

EXAMPLES = Path(__file__).parents[3] / "examples"

INFO = """<info><category>Met</category><event>Flood</event><urgency>Immediate</urgency><severity>Severe</severity>
<certainty>Observed</certainty>{more}</info>"""


def document(more: str = "", *, info: str = "", head: str = "", namespace: str = CAP12) -> bytes:
    return f"""{head}<alert xmlns="{namespace}"><identifier>i</identifier><sender>s</sender>
<sent>2030-01-02T03:04:05+01:00</sent><status>Test</status><msgType>Alert</msgType><scope>Public</scope>{more}
{INFO.format(more=info)}</alert>""".encode()


def area(content: str) -> bytes:
    return document(info=f"<area>{content}</area>")


def faults(text: bytes) -> list[tuple[str, str]]:
    with pytest.raises(CapError) as caught:
        read_cap(text)
    return [(finding.path, finding.rule) for finding in caught.value.details if finding.level is Level.ERROR]


def test_the_examples_are_faultless_and_the_same() -> None:
    alert, findings = read_cap((EXAMPLES / "flood.xml").read_bytes())
    assert (findings, validate(alert)) == ((), ())
    assert read_alert((EXAMPLES / "flood.json").read_bytes()) == alert
    cancel, findings = read_cap((EXAMPLES / "flood-cancel.xml").read_bytes())
    assert (findings, validate(cancel)) == ((), ())
    assert cancel.referred[0].alert_id == alert_id_of(alert)


def test_the_table_of_structure_is_the_models() -> None:
    models: dict[str, type[BaseModel]] = {
        "alert": Alert,
        "info": Info,
        "resource": Resource,
        "area": Area,
        "parameter": ValuePair,
    }
    for kind, model in models.items():
        fields = {str(info.alias): info for info in model.model_fields.values() if info.alias != "groups"}
        assert tuple(fields) == ORDER[kind]
        assert {name for name, info in fields.items() if str(info.annotation).startswith("tuple")} == REPEATED[kind]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (document("<colour>red</colour>"), [("colour", "R21")]),
        (document('<note xmlns="urn:x">red</note>'), [("note", "R21")]),
        (document("<note>a</note><source>b</source>"), [("source", "6.1")]),
        (document("<note>a</note><note>b</note>"), [("note", "6.1")]),
        (document("<note>a<b>c</b></note>"), [("note", "R21")]),
        (document("words"), [("", "R21")]),
        (document(info="<language>de</language>"), [("info[0].language", "6.1")]),
        (area("<areaDesc>a</areaDesc><polygon>1,1 2,2 1,1</polygon>"), [("info[0].area[0].polygon[0]", "R11")]),
        (area("<polygon>1,1 2,2 3,1 1,1</polygon>"), [("info[0].area[0].areaDesc", "6.1")]),
        (document(info="<parameter><valueName>a</valueName></parameter>"), [("info[0].parameter[0].value", "6.1")]),
        (document().replace(b"Severe", b"severe"), [("info[0].severity", "6.2")]),
        (document().replace(b"<sender>s</sender>", b""), [("sender", "6.1")]),
        (document().replace(b"+01:00", b"Z"), [("sent", "R2")]),
        (b"", [("", "xml")]),
        (b"<alert", [("", "xml")]),
        (document("<note>&nbsp;</note>"), [("", "xml")]),
        (document("<x>" * 20 + "</x>" * 20), [("", "R22")]),
        (document("<code>a</code>" * 20_001), [("", "R22")]),
        (b" " * (ALERT_BYTES_MAX + 1), [("", "R22")]),
        (document(head="<!DOCTYPE alert>"), [("", "R22")]),
        (document("<note>&a;</note>", head='<!DOCTYPE alert [<!ENTITY a SYSTEM "file:///x">]>'), [("", "R22")]),
    ],
)  # fmt: skip
def test_faults_are_found_with_path_and_rule(text: bytes, expected: list[tuple[str, str]]) -> None:
    assert faults(text) == expected


def test_a_bomb_of_entities_ends_at_its_doctype() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    text = document("<note>&e11;</note>", head=f'<!DOCTYPE alert [<!ENTITY e0 "x">{entities}]>')
    assert faults(text) == [("", "R22")]
    assert faults(text.decode().encode("utf-16")) == [("", "R22")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (document(namespace="urn:oasis:names:tc:emergency:cap:1.1"), "is CAP 1.1, not CAP 1.2"),
        (document(namespace="http://www.incident.com/cap/1.0"), "is CAP 1.0, not CAP 1.2"),
        (document(namespace="urn:other"), "in the namespace urn:other"),
        (b"<html/>", "is <html>"),
        (f'<info xmlns="{CAP12}"/>'.encode(), "is <info>"),
    ],
)
def test_another_namespace_is_an_error_of_its_own(text: bytes, message: str) -> None:
    with pytest.raises(NotCap12Error, match=message):
        read_cap(text)


def test_all_faults_are_found_at_once() -> None:
    text = document("<colour/>", info="<area/>").replace(b"Test", b"test")
    assert faults(text) == [("colour", "R21"), ("status", "6.2"), ("info[0].area[0].areaDesc", "6.1")]


def test_an_area_without_a_name_is_accepted_and_named() -> None:
    alert, findings = read_cap(area("<areaDesc/><circle>1,1 5</circle>"))
    assert (findings, alert.info[0].area[0].area_desc) == ((), "")
    assert "info[0].area[0].areaDesc" in [finding.path for finding in validate(alert) if finding.rule == "R15"]
    assert read_cap(write_cap(alert))[0] == alert


def test_white_space_around_tokens_is_left_out_and_reported() -> None:
    alert, findings = read_cap(document().replace(b"Test", b"\n Test ").replace(b"Flood", b" Flood "))
    assert (alert.status, alert.info[0].event) == ("Test", "Flood")
    assert [(finding.level, finding.path, finding.rule) for finding in findings] == [
        ("warning", "status", "R20"),
        ("warning", "info[0].event", "R20"),
    ]


def test_empty_optional_elements_count_as_absent() -> None:
    alert, findings = read_cap(
        document("<code/><note> </note>", info="<expires/><area><areaDesc>a</areaDesc><polygon/></area>")
    )
    assert (alert.code, alert.note, alert.info[0].expires, alert.info[0].area[0].polygon) == ((), None, None, ())
    assert [(finding.path, finding.rule) for finding in findings] == [("info[0].area[0].polygon[0]", "R17")]


def test_a_signature_is_reported_as_not_verified() -> None:
    text = document().replace(
        b"</alert>", b'<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><a/></Signature></alert>'
    )
    assert [finding.rule for finding in read_cap(text)[1]] == ["R19"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_encodings_are_the_documents_own(encoding: str) -> None:
    text = document("<note>Süd</note>", head=f'<?xml version="1.0" encoding="{encoding}"?><!-- a --><?b c?>').decode()
    assert read_cap(text.encode(encoding))[0].note == "Süd"


def test_comments_are_no_content() -> None:
    alert, _ = read_cap(document("<!-- a --><note>b<!-- c -->d</note>"))
    assert alert.note == "bd"


def test_a_finding_names_the_field_and_the_rule() -> None:
    with pytest.raises(CapError) as caught:
        read_cap(document(info="<area><areaDesc>a</areaDesc><circle>1,2</circle></area>"))
    assert caught.value.findings == (("info[0].area[0].circle[0]", "R12", caught.value.details[0].message),)


FLOOD = (EXAMPLES / "flood.xml").read_bytes()


@given(
    st.integers(0, len(FLOOD)),
    st.integers(0, 200),
    st.binary(max_size=6) | st.sampled_from([b"<!--", b"<?x?>", b"<a>", b"&"]),
)
def test_a_damaged_document_is_read_or_refused(start: int, length: int, patch: bytes) -> None:
    damaged = FLOOD[:start] + patch + FLOOD[start + length :]
    try:
        alert, _ = read_cap(damaged)
    except CapError as error:
        answered: object = error.findings
    else:
        answered = read_cap(write_cap(alert))[0] == alert
    assert answered


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (document().replace(b"<info>", b'<info xml:lang="de">'), [("", "R21")]),
        (document().replace(b"<event>", b'<event a="1">'), [("", "R21")]),
        (document().replace(b"<alert ", b'<alert id="1" '), [("", "R21")]),
        (
            document().replace(b"<alert ", b"<alert %b " % b" ".join(b'a%d="1"' % n for n in range(45_000))),
            [("", "R22")],
        ),
        (
            document().replace(b"<alert ", b"<alert %b " % b" ".join(b'xmlns:a%d="u%d"' % (n, n) for n in range(21))),
            [("", "R22")],
        ),
    ],
    ids=["of-xml", "of-an-element", "of-the-root", "very-many", "namespaces"],
)
def test_attributes_are_refused_before_they_cost_anything(text: bytes, expected: list[tuple[str, str]]) -> None:
    began = time.thread_time()
    assert faults(text) == expected
    assert time.thread_time() - began < 1


def test_a_schema_location_and_the_attributes_of_a_signature_are_passed_over() -> None:
    plain, _ = read_cap(document())
    location = b'<alert xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="a b" '
    signature = '<Signature xmlns="http://www.w3.org/2000/09/xmldsig#" Id="1"><M Algorithm="x">t</M></Signature>'
    text = document().replace(b"<alert ", location).replace(b"</alert>", signature.encode() + b"</alert>")
    alert, findings = read_cap(text)
    assert alert == plain
    assert [finding.rule for finding in findings] == ["R19"]
