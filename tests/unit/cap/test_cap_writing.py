"""CAP XML out and in again: the same alert, whatever it holds."""

import string
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broadcast.cap import freshen, groups_of, read_cap, write_cap
from schemas.alert import (
    Alert,
    Category,
    Certainty,
    MsgType,
    ResponseType,
    Severity,
    Status,
    Urgency,
    read_alert,
    write_alert,
)

TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\n\r\t<&>\"']"),
    min_size=1,
    max_size=30,
).filter(lambda text: bool(text.strip()))  # fmt: skip
IDS = st.text(string.ascii_letters + string.digits + "-.:/", min_size=1, max_size=20)
NAMES = st.text(string.ascii_lowercase + "- ", min_size=1, max_size=12).map(str.strip).filter(bool)
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda at: at.replace(microsecond=0, tzinfo=UTC)
) | st.builds(
    lambda at, hours: at.replace(microsecond=0, tzinfo=timezone(timedelta(hours=hours))),
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001
    st.integers(-12, 14),
)
NUMBERS = st.floats(-89, 89).map(lambda number: f"{number:.3f}")
PAIRS = st.fixed_dictionaries({"value_name": NAMES, "value": TEXTS | st.just("")})


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def several(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(strategy, max_size=2)


AREAS = st.fixed_dictionaries(
    {
        "area_desc": TEXTS,
        "polygon": several(st.lists(st.tuples(NUMBERS, NUMBERS).map(",".join), min_size=3, max_size=5).map(
            lambda points: " ".join([*points, points[0]])
        )),
        "circle": several(st.tuples(NUMBERS, NUMBERS).map(lambda point: ",".join(point) + " 2.5")),
        "geocode": several(PAIRS),
        "altitude": optional(st.decimals(-1000, 0, places=3)),
    }
).flatmap(
    lambda area: st.just(area)
    if area["altitude"] is None
    else optional(st.decimals(0, 9000, places=2)).map(lambda ceiling: area | {"ceiling": ceiling})
)  # fmt: skip
RESOURCES = st.fixed_dictionaries(
    {
        "resource_desc": TEXTS,
        "mime_type": st.just("image/png"),
        "size": optional(st.integers(0, 2**62)),
        "uri": optional(st.just("https://example.org/map.png")),
        "deref_uri": optional(st.just("AAAA")),
        "digest": optional(st.just("a" * 40)),
    }
)
INFOS = st.fixed_dictionaries(
    {
        "language": st.sampled_from(["en-US", "de", "ar", "zh-Hant"]),
        "category": st.lists(st.sampled_from(Category), min_size=1, max_size=2),
        "event": TEXTS,
        "response_type": several(st.sampled_from(ResponseType)),
        "urgency": st.sampled_from(Urgency),
        "severity": st.sampled_from(Severity),
        "certainty": st.sampled_from(Certainty),
        "event_code": several(PAIRS),
        "onset": optional(INSTANTS),
        "expires": optional(INSTANTS),
        "parameter": several(PAIRS),
        "resource": several(RESOURCES),
        "area": several(AREAS),
    }
    | dict.fromkeys(["audience", "sender_name", "headline", "description", "instruction", "contact"], optional(TEXTS))
)
ALERTS = st.fixed_dictionaries(
    {
        "identifier": IDS,
        "sender": IDS,
        "sent": INSTANTS,
        "status": st.sampled_from(Status),
        "msg_type": st.sampled_from(MsgType),
        "scope": st.just("Public"),
        "source": optional(TEXTS),
        "addresses": optional(st.lists(NAMES, min_size=1).map(lambda names: " ".join(f'"{name}"' for name in names))),
        "code": several(TEXTS),
        "note": optional(TEXTS),
        "references": st.just("s,an-identifier-of-more-than-20,2001-01-01T00:00:00-00:00"),
        "info": several(INFOS),
    }
).map(Alert.model_validate)


@given(ALERTS)
def test_an_alert_survives_xml_and_json(alert: Alert) -> None:
    assert read_cap(write_cap(alert)) == (alert, ())
    assert read_alert(write_alert(alert)) == alert


@given(ALERTS, st.lists(NAMES, min_size=1, max_size=4))
def test_groups_are_written_as_addresses(alert: Alert, groups: list[str]) -> None:
    grouped = Alert.model_validate(alert.model_dump() | {"groups": groups})
    assert groups_of(read_cap(write_cap(grouped))[0]) == groups_of(grouped)


@given(ALERTS, st.integers(1, 10**6))
def test_a_fresh_alert_is_of_now_and_else_the_same(alert: Alert, lifetime_seconds: int) -> None:
    now = datetime(2031, 5, 6, 7, 8, 9, 123, tzinfo=UTC)
    fresh = freshen(alert, "another", now, lifetime_seconds)
    assert (fresh.identifier, fresh.sent) == ("another", now.replace(microsecond=0))
    assert all(info.expires == fresh.sent + timedelta(seconds=lifetime_seconds) for info in fresh.info)
    times = {"effective", "onset", "expires"}
    outer = {"identifier", "sent", "info"}
    assert fresh.model_dump(exclude=outer) == alert.model_dump(exclude=outer)
    assert [info.model_dump(exclude=times) for info in fresh.info] == [
        info.model_dump(exclude=times) for info in alert.info
    ]
