"""What a sender knows of alerts, and how fresh that is."""

import msgspec
import pytest
from aiokafka import TopicPartition

from broadcast.sending.control import FORGET_TEXTS_MS, ControlReader, ControlView
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
    assert view.stopped == {"a"}
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
    reader = ControlReader(Consumer(), TopicPartition("control", 0), 0, now_ms=lambda: wall, clock=lambda: steady)
    events = RecordedEvents()
    await reader.read(events)
    assert reader.view.caught_up_at == pytest.approx(499.95)
    wall, steady = 5_000, 502.0
    Consumer.answered_at = 4_000
    await reader.read(events)
    assert reader.view.caught_up_at == pytest.approx(501.0)
    assert reader.view.behind(502.1)
