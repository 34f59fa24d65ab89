"""What a sender knows of alerts, and how fresh that is."""

import tracemalloc

import msgspec
import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from broadcast.sending.control import ControlReader, ControlView
from broadcast.sending.control.view import FORGET_TEXTS_MS, KEPT_MS, ControlFullError
from schemas.control import Control, Stop, Variant, stop_key
from schemas.lane import Lane
from tests.support.sender_events import RecordedEvents

encode = msgspec.json.encode
NOW = 10 * FORGET_TEXTS_MS


def control(expires_at: int = NOW + 1) -> Control:
    return Control("a", Lane.ROUTINE, "Actual", expires_at, (Variant("en", "Water."),))


def test_the_last_record_of_an_alert_counts() -> None:
    view = ControlView()
    view.apply(b"a", encode(control()), NOW)
    changed = control(NOW + 5)
    view.apply(b"a", encode(changed), NOW)
    assert view.controls == {"a": changed}
    view.apply(b"a", None, NOW)
    assert view.controls == {}


def test_nothing_undoes_a_stop() -> None:
    view = ControlView()
    view.apply(stop_key("a").encode(), encode(Stop("a", NOW, "me")), NOW)
    view.apply(b"a", encode(control()), NOW)
    view.apply(stop_key("a").encode(), None, NOW)
    assert view.stopped == {"a": NOW}
    assert "a" in view.controls


def test_an_alert_long_expired_keeps_its_place_but_not_its_texts() -> None:
    view = ControlView()
    view.apply(b"a", encode(control(NOW - FORGET_TEXTS_MS - 1)), NOW)
    assert view.controls["a"].variants == ()


def test_a_record_that_is_no_control_is_an_error_for_the_reader_to_log() -> None:
    with pytest.raises(msgspec.MsgspecError):
        ControlView().apply(b"a", b"{}", NOW)


def test_an_alert_that_expires_after_the_calendar_or_has_a_key_without_end_is_not_kept() -> None:
    view = ControlView()
    beyond = [(b"a", encode(control(10**15))), (b"x" * 900_000, encode(control())), (b"x" * 900_000 + b"/stop", b"{}")]
    for key, value in beyond:
        with pytest.raises(msgspec.MsgspecError):
            view.apply(key, value, NOW)
    assert not view.controls
    assert not view.stopped


def test_a_control_whose_key_is_not_its_alert_id_is_not_taken_for_that_alert() -> None:
    view = ControlView()
    view.apply(b"a", encode(control()), NOW)
    forged = control(NOW + 9)
    with pytest.raises(msgspec.MsgspecError, match="key is 'b' and alert_id 'a'; write the record with its alert id"):
        view.apply(b"b", encode(forged), NOW)
    assert view.controls == {"a": control()}


def test_a_stop_holds_however_its_uuid_is_written_and_an_alert_has_one_way_only() -> None:
    view, alert_id = ControlView(), "6f1c9f3e-3c0b-5a55-9b3d-0c2f6f3f7a10"
    view.apply(stop_key(alert_id.upper()).encode(), b"{}", NOW)
    assert alert_id in view.stopped
    other = msgspec.structs.replace(control(), alert_id=alert_id.upper())
    with pytest.raises(msgspec.MsgspecError, match=f"write the UUID as '{alert_id}'"):
        view.apply(alert_id.upper().encode(), encode(other), NOW)


def test_a_control_larger_than_any_alert_is_not_kept() -> None:
    view = ControlView()
    large = msgspec.structs.replace(control(), variants=(Variant("en", "x" * 500_000),) * 3)
    with pytest.raises(msgspec.MsgspecError, match="value has 15"):
        view.apply(b"a", encode(large), NOW)


def test_more_than_a_second_behind_is_behind() -> None:
    view = ControlView()
    assert view.behind(0.1), "before it has read anything"
    view.caught_up_at = 100.0
    assert not view.behind(101.0)
    assert view.behind(101.01)


def test_only_a_fetch_asked_for_after_an_instant_says_what_there_was_then() -> None:
    view = ControlView()
    assert not view.passed(0.0), "before it has read anything"
    view.caught_up_at = 100.5
    assert not view.passed(100.0)
    view.caught_up_at = 100.51
    assert view.passed(100.0)


async def test_a_wall_clock_that_is_set_back_makes_nothing_fresher() -> None:
    class Consumer:
        answered_at = 10_000

        async def getmany(self, *_: object, **__: object) -> dict[object, list[object]]:
            return {}

        def highwater(self, _: object) -> int:
            return 7

        async def position(self, _: object) -> int:
            return 7

        def last_poll_timestamp(self, _: object) -> int:
            return self.answered_at

    wall, steady = 10_050, 500.0
    reader = ControlReader(Consumer(), TopicPartition("control", 0), 0, wall_ms=lambda: wall, clock=lambda: steady)
    events = RecordedEvents()
    await reader.read(events)
    assert reader.view.caught_up_at == pytest.approx(499.95)
    wall, steady = 5_000, 502.0
    Consumer.answered_at = 4_000
    await reader.read(events)
    assert reader.view.caught_up_at == pytest.approx(501.0)
    assert reader.view.behind(502.1)


def apply_alert(view: ControlView, alert_id: str, expires_at: int, now: int, text: str = "Water.") -> None:
    record = Control(alert_id, Lane.ROUTINE, "Actual", expires_at, (Variant("en", text),))
    view.apply(alert_id.encode(), encode(record), now)


def fill(view: ControlView, now: int) -> int:
    """Alerts of one hour until one has no room; how many had."""
    for number in range(100_000):
        try:
            apply_alert(view, f"{now}-{number}", now + 3_600_000, now)
        except ControlFullError:
            return number
    raise AssertionError("no limit")


def apply_all(view: ControlView, stops: list[bytes]) -> None:
    for key in stops:
        view.apply(key, b"{}", NOW)


def test_an_alert_or_stop_without_room_is_refused_and_nothing_that_matters_is_forgotten() -> None:
    view = ControlView(limit_bytes=100_000)
    view.apply(b"early/stop", b"{}", NOW)
    count = fill(view, NOW)
    assert len(view.controls) == count > 50
    stops = [b"s%d/stop" % number for number in range(10)]
    with pytest.raises(ControlFullError, match=f"{count} alerts and . stops that may still matter need more than"):
        apply_all(view, stops)
    assert len(view.controls) == count
    assert "early" in view.stopped


def test_texts_of_expired_alerts_make_room_first() -> None:
    view = ControlView(limit_bytes=100_000)
    apply_alert(view, "over", NOW - 120_000, NOW, "x" * 90_000)
    view.apply(b"over/stop", b"{}", NOW)
    assert fill(view, NOW) > 50
    assert view.controls["over"].variants == ()
    assert "over" in view.stopped


def test_alerts_of_which_no_topic_has_a_job_make_room_with_their_stops() -> None:
    view = ControlView(limit_bytes=100_000)
    apply_alert(view, "over", NOW, NOW)
    view.apply(b"over/stop", b"{}", NOW)
    view.apply(b"nothing/stop", b"{}", NOW, at=NOW)
    fill(view, NOW)
    assert {"over", "nothing"} <= set(view.stopped)
    later = NOW + KEPT_MS + 1
    apply_alert(view, "new", later + 1, later)
    assert "over" not in view.controls
    assert not view.stopped
    assert f"{NOW}-0" in view.controls, "it expired an hour later"


@pytest.mark.parametrize(("expired_ago", "kept"), [(-30_000, True), (60_000, True), (60_001, False)])
def test_an_alert_keeps_its_texts_until_a_minute_after_its_expiry_at_least(expired_ago: int, kept: bool) -> None:
    view = ControlView(limit_bytes=100_000)
    apply_alert(view, "some", NOW - expired_ago, NOW, "x" * 90_000)
    fill(view, NOW)
    assert bool(view.controls["some"].variants) is kept


def test_a_stop_however_old_of_an_alert_that_is_known_is_taken_in_where_room_was_short() -> None:
    view = ControlView(limit_bytes=100_000)
    apply_alert(view, "known", NOW + 1, NOW)
    apply_alert(view, "over", NOW - 60_001, NOW, "x" * 10_000)
    fill(view, NOW)
    view.apply(b"known/stop", b"{}", NOW, at=NOW - KEPT_MS - 1)
    assert "known" in view.stopped


def test_what_ended_exactly_as_long_ago_as_it_is_kept_is_not_forgotten() -> None:
    view, later = ControlView(limit_bytes=100_000), NOW + KEPT_MS
    apply_alert(view, "over", NOW, NOW)
    view.apply(b"nothing/stop", b"{}", NOW, at=NOW)
    fill(view, later)
    assert "over" in view.controls
    assert "nothing" in view.stopped
    with pytest.raises(ControlFullError):
        apply_alert(view, "more", later + 1, later, "x" * 90_000)
    apply_alert(view, "more", later + 1, later + 1)
    assert "over" not in view.controls
    assert "nothing" not in view.stopped


def test_what_has_ended_long_ago_is_not_taken_in_where_room_was_short() -> None:
    view = ControlView(limit_bytes=100_000)
    fill(view, NOW)
    apply_alert(view, "old", NOW - KEPT_MS - 1, NOW)
    view.apply(b"old/stop", b"{}", NOW, at=NOW - KEPT_MS - 1)
    assert "old" not in view.controls
    assert "old" not in view.stopped


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["alert", "stop", "remove", "wait"]),
        st.integers(0, 9).map(lambda number: f"a{number}"),
        st.sampled_from([0, 3_600_000, 90_000_000, 3 * KEPT_MS]),
        st.sampled_from([1, 3_000]),
    ),
    max_size=60,
)


def test_an_alert_that_comes_long_after_its_stop_does_not_push_the_stop_out() -> None:
    view, later = ControlView(limit_bytes=12_000), NOW + 3 * KEPT_MS
    for alert_id in ("a0", "a2"):
        apply_alert(view, alert_id, NOW, NOW, "x" * 3_000)
    view.apply(stop_key("a1").encode(), b"{}", NOW)
    apply_alert(view, "a1", later, later, "x" * 6_000)
    assert "a1" in view.stopped


@given(steps=STEPS)
def test_a_view_with_little_room_stops_whatever_one_without_a_limit_stops(
    steps: list[tuple[str, str, int, int]],
) -> None:
    small, large, now = ControlView(limit_bytes=12_000), ControlView(limit_bytes=1 << 30), NOW
    expiries: dict[str, int] = {}
    forgettable = set()
    for what, alert_id, milliseconds, length in steps:
        if what == "alert" and alert_id not in expiries and large.stopped.get(alert_id, now) < now - KEPT_MS:
            # Its stop was so old before it came that it may have been forgotten.
            forgettable.add(alert_id)
        before = dict(small.controls), dict(small.stopped)
        try:
            for view in (small, large):
                if what == "alert":
                    apply_alert(view, alert_id, expiries.setdefault(alert_id, now + milliseconds), now, "x" * length)
                elif what == "stop":
                    view.apply(stop_key(alert_id).encode(), b"{}", now)
                elif what == "remove":
                    view.apply(alert_id.encode(), None, now)
        except ControlFullError:
            assert small.controls.items() <= before[0].items()
        now += milliseconds if what == "wait" else 0
        for stopped, at in large.stopped.items():
            if stopped in forgettable:
                continue
            if max(at, expiries.get(stopped, 0)) >= now - KEPT_MS and expiries.get(stopped, now) >= now - KEPT_MS:
                assert stopped in small.stopped
    anew = ControlView(limit_bytes=1 << 30)
    for alert_id in small.seen:
        apply_alert(anew, alert_id, now, now)
        anew.apply(alert_id.encode(), None, now)
    for kept in small.controls.values():
        anew.apply(kept.alert_id.encode(), encode(kept), 0)
    for alert_id in small.stopped:
        anew.apply(stop_key(alert_id).encode(), b"{}", now)
    assert small.counted_bytes == anew.counted_bytes <= 12_000


def test_what_is_counted_is_what_is_taken() -> None:
    tracemalloc.start()
    try:
        view = ControlView(limit_bytes=1 << 30)
        for number in range(5_000):
            alert_id = f"6f1c9f3e-3c0b-5a55-9b3d-{number:012x}"
            apply_alert(view, alert_id, NOW + 1, NOW, "Water is rising. " * 10)
            view.apply(stop_key(f"7f1c9f3e-3c0b-5a55-9b3d-{number:012x}").encode(), b"{}", NOW)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken <= view.counted_bytes <= 2 * taken
