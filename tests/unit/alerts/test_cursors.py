"""Cursors of the alert list."""

import base64
import json
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.alerts.queries import AlertRow, read_cursor, write_cursor
from broadcast.errors import InputError


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_cursor_is_read_as_it_was_written(accepted_at: object, alert_id: object) -> None:
    fields: dict[str, Any] = dict.fromkeys(AlertRow.__slots__)
    row = AlertRow(**fields | {"accepted_at": accepted_at, "alert_id": alert_id})
    assert read_cursor(write_cursor(row)) == (accepted_at, alert_id)


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "ä",
        "%%%",
        *(
            base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
            for place in (1, [], ["2026-01-01"], ["2026-01-01T00:00:00", "no uuid"], [3, 4], {"a": 1})
        ),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        *(
            base64.urlsafe_b64encode(json.dumps([at, "11111111-1111-1111-1111-111111111111"]).encode()).decode()
            for at in ("0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00")
        ),
        base64.urlsafe_b64encode(
            json.dumps(["2026-01-01T00:00:00", "11111111-1111-1111-1111-111111111111"]).encode()
        ).decode(),
    ],
)
def test_anything_else_is_refused_by_name(cursor: str) -> None:
    with pytest.raises(InputError, match="cursor") as refused:
        read_cursor(cursor)
    assert refused.value.findings[0][0] == "cursor"
