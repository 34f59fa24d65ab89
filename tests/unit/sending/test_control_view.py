"""What a sender knows of alerts, and how fresh that is."""

import msgspec
import pytest

from broadcast.sending.control import FORGET_TEXTS_MS, ControlView
from schemas.control import Control, Stop, Variant, stop_key
from schemas.lane import Lane

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


def test_more_than_a_second_behind_is_behind() -> None:
    view = ControlView()
    assert view.behind(NOW), "before it has read anything"
    view.caught_up_at = NOW
    assert not view.behind(NOW + 1_000)
    assert view.behind(NOW + 1_001)


def test_only_a_fetch_asked_for_after_an_instant_says_what_there_was_then() -> None:
    view = ControlView()
    view.caught_up_at = NOW + 500
    assert not view.passed(NOW)
    view.caught_up_at = NOW + 501
    assert view.passed(NOW)
