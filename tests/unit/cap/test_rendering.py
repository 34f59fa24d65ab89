"""What recipients read: text, language, lane and targets."""

from itertools import product
from typing import Any

import pytest

from broadcast.cap import RenderingError, TargetError, choose, choose_all, groups_of, lane_of, languages_of, render
from schemas.alert import Alert, Certainty, Severity, Urgency
from schemas.control import Variant
from schemas.lane import LANES, Lane


def info(**fields: Any) -> dict[str, Any]:
    return {
        "category": ["Met"],
        "event": "Flood",
        "urgency": "Future",
        "severity": "Minor",
        "certainty": "Likely",
    } | fields


def alert(*infos: dict[str, Any], **fields: Any) -> Alert:
    head = {"identifier": "i", "sender": "s", "sent": "2030-01-01T00:00:00-00:00", "status": "Actual"}
    return Alert.model_validate(head | {"msgType": "Alert", "scope": "Public", "info": infos} | fields)


def texts(*infos: dict[str, Any], **fields: Any) -> list[tuple[str, str]]:
    return [(variant.language, variant.text) for variant in render(alert(*infos, **fields), highest_segments=6)]


def sms(text: str, name: str = "SMS") -> dict[str, str]:
    return {"valueName": name, "value": text}


@pytest.mark.parametrize(
    ("infos", "text"),
    [
        ([info()], "Flood"),
        ([info(headline="Over\n  banks", instruction="Go – up", senderName="Office")], "Over banks\nGo - up\nOffice"),
        ([info(instruction="Flood")], "Flood"),
        ([info(headline="x", parameter=[sms("a"), sms("b")])], "a"),
        ([info(senderName="x", parameter=[sms("short", "CMAMtext"), sms("long", "CMAMlongtext")])], "long"),
        ([info(headline="x", parameter=[sms(" ")])], "x"),
        ([info(instruction="a", senderName="Us"), info(instruction="b", senderName="Us")], "Flood\na\nb\nUs"),
        ([info(headline="Πλημμύρα – τώρα")], "Πλημμύρα – τώρα"),
        ([info(headline="Go \u200b up\u200e –\u200c now")], "Go up - now"),
    ],
)  # fmt: skip
def test_the_text_of_one_language(infos: list[dict[str, Any]], text: str) -> None:
    assert texts(*infos) == [("en-US", text)]


def test_languages_have_a_text_each_in_order() -> None:
    infos = info(language="de", headline="a"), info(headline="b"), info(language="DE", headline="c")
    assert texts(*infos) == [("de", "a\nc"), ("en-US", "b")]


@pytest.mark.parametrize(
    ("status", "headline", "text"),
    [
        ("Actual", "Flood", "Flood"),
        ("Exercise", "Flood", "EXERCISE: Flood"),
        ("Test", "Flood", "TEST: Flood"),
        ("Test", "Test of sirens", "TEST: Test of sirens"),
        ("Test", "test: sirens", "test: sirens"),
        ("Exercise", "Exercise caution at the river", "EXERCISE: Exercise caution at the river"),
        ("Test", "Testing is over", "TEST: Testing is over"),
    ],
)
def test_what_is_not_real_says_so_first(status: str, headline: str, text: str) -> None:
    assert texts(info(headline=headline), status=status) == [("en-US", text)]


def test_a_text_that_is_too_long_names_its_info() -> None:
    with pytest.raises(RenderingError, match=r"info\[1\]: the text in de needs 7 segments, more than 6") as caught:
        texts(info(), info(language="de", headline="a" * (152 * 6 + 1)))
    assert caught.value.findings[0][:2] == ("info[1]", "segments")


@pytest.mark.parametrize("blank", ["\u200b", "\u00ad\u2060", " \u2003"])
def test_what_no_phone_shows_is_no_text(blank: str) -> None:
    assert texts(info(headline=blank, parameter=[sms(blank)])) == [("en-US", "Flood")]
    with pytest.raises(RenderingError, match=r"info\[0\]: nothing in it can be read.*\[6.1\]"):
        texts(info(headline=blank, event="\u200b"), status="Test")


def test_an_alert_without_info_has_no_text() -> None:
    with pytest.raises(RenderingError, match="no info"):
        texts()


VARIANTS = tuple(
    Variant(language=language, text="") for language in ("en-US", "de", "zh-Hant", "zh-Hans", "pt-BR", "pt")
)


@pytest.mark.parametrize(
    ("language", "index"),
    [
        ("en-US", 0), ("EN-us", 0), ("en", 0), ("en-GB", 0), ("de", 1), ("de_AT", 1), ("zh-Hans", 3), ("zh-TW", 2),
        ("zh", 2), ("pt-BR", 4), ("pt-PT", 5), ("fr", 0), (None, 0), ("", 0), (" de ", 1),
    ],
)  # fmt: skip
def test_a_recipient_reads_the_nearest_language(language: str | None, index: int) -> None:
    languages = languages_of(VARIANTS)
    assert choose(languages, language) == index
    assert choose_all(languages, [language, "de", language]) == [index, 1, index]


def test_the_fallback_is_given() -> None:
    assert choose(languages_of(VARIANTS), "fr", 3) == 3
    assert choose_all({}, ["fr", None], 2) == [2, 2]


@pytest.mark.parametrize(
    ("fields", "groups"),
    [
        ({"addresses": 'group:a b "flood plain" a'}, ("a", "b", "flood plain")),
        ({"addresses": "a", "groups": ["b", "a"]}, ("a", "b")),
        ({"groups": ["flood plain"]}, ("flood plain",)),
        ({"addresses": '"group:flood plain"'}, ("flood plain",)),
        ({"addresses": '"flood\u200b plain" "flood\u00a0plain\ufeff"', "groups": ["flood  plain "]}, ("flood plain",)),
        ({"addresses": "Zu\u0308rich", "groups": ["Z\u00fcrich"]}, ("Z\u00fcrich",)),
    ],
)
def test_groups_come_from_addresses_and_groups(fields: dict[str, Any], groups: tuple[str, ...]) -> None:
    assert groups_of(alert(**fields)) == groups


@pytest.mark.parametrize("fields", [{}, {"addresses": "group:"}, {"addresses": " "}])
def test_an_empty_target_refuses(fields: dict[str, Any]) -> None:
    with pytest.raises(TargetError, match="names no target group") as caught:
        groups_of(alert(**fields))
    assert caught.value.findings[0][:2] == ("addresses", "R5")


@pytest.mark.parametrize(("urgency", "severity", "certainty"), list(product(Urgency, Severity, Certainty)))
def test_the_lane_of_every_combination(urgency: Urgency, severity: Severity, certainty: Certainty) -> None:
    soon, grave = urgency in ("Immediate", "Expected"), severity in ("Extreme", "Severe")
    sure = certainty in ("Observed", "Likely")
    expected = Lane.IMMEDIATE if soon and grave and sure else Lane.PRIORITY if soon or grave else Lane.ROUTINE
    assert lane_of(alert(info(urgency=urgency, severity=severity, certainty=certainty)).info) is expected


def test_the_most_urgent_info_decides() -> None:
    lanes = [info(), info(urgency="Immediate"), info(urgency="Immediate", severity="Extreme")]
    assert [lane_of(alert(*lanes[: count + 1]).info) for count in range(3)] == list(reversed(LANES))
    assert lane_of([]) is Lane.ROUTINE
