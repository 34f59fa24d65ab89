"""An example or a template as a message of today: its identity, and its times."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from pydantic import ValidationError

from broadcast.cap import read_cap, reissue, write_cap
from schemas.alert import alert_id_of, read_alert, write_alert

EXAMPLES = Path(__file__).parents[3] / "examples"
NOW = datetime(2026, 11, 27, 2, 3, 4, 567_000, tzinfo=UTC)


def test_all_times_move_by_the_same_span_and_nothing_else_changes() -> None:
    alert, _ = read_cap((EXAMPLES / "flood.xml").read_bytes())
    info = alert.info[0].model_copy(update={"onset": alert.sent + timedelta(hours=1), "effective": alert.sent})
    alert = alert.model_copy(update={"info": (info, *alert.info[1:])})
    new = reissue(alert, "new-1", NOW)
    assert (new.identifier, new.sent) == ("new-1", NOW.replace(microsecond=0))
    for before, after in zip(alert.info, new.info, strict=True):
        for name in ("effective", "onset", "expires"):
            old_time, new_time = getattr(before, name), getattr(after, name)
            assert (new_time and new_time - new.sent) == (old_time and old_time - alert.sent)
    times = {"effective": None, "onset": None, "expires": None}
    assert [info.model_copy(update=times) for info in new.info] == [
        info.model_copy(update=times) for info in alert.info
    ]
    same = {"identifier": "", "sent": NOW, "info": ()}
    assert new.model_copy(update=same) == alert.model_copy(update=same)
    assert alert_id_of(new) != alert_id_of(alert)


def test_the_offset_from_utc_stays() -> None:
    alert = read_alert((EXAMPLES / "flood.json").read_bytes())
    east = timezone(timedelta(hours=2))
    new = reissue(alert.model_copy(update={"sent": alert.sent.astimezone(east)}), "new-1", NOW)
    assert new.sent.utcoffset() == timedelta(hours=2)
    assert read_alert(write_alert(new)) == new
    assert read_cap(write_cap(new))[0] == new


def test_an_identifier_that_cap_forbids_is_refused() -> None:
    alert = read_alert((EXAMPLES / "flood.json").read_bytes())
    with pytest.raises(ValidationError, match="identifier"):
        reissue(alert, "no spaces", NOW)
