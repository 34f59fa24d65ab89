"""JSON from outside can be read in one way only, or it is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.alert import AlertInvalidError, read_alert, read_event
from schemas.json_text import JsonError, TooManyValuesError, read_json


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 1}', "holds the key 'a' twice"),
        ('{"b": [{"a": 1, "\\u0061": 2}]}', "holds the key 'a' twice"),
        ("[NaN]", "holds NaN"),
        ("[-Infinity]", "holds -Infinity"),
        ("[1e999]", "too large"),
        ("[" + "1" * 101 + "]", "a number of 101 characters"),
        ("[1." + "1" * 100 + "]", "a number of 102 characters"),
        ('["\\ud800"]', "lone surrogate"),
        ('{"\\udc00": 1}', "lone surrogate"),
        ("[" * 100_000, "is not JSON"),
        ("", "is not JSON"),
        ("{'a': 1}", "is not JSON"),
        ("[1] [2]", "is not JSON"),
    ],
)
def test_json_that_two_readers_would_take_differently_is_refused(text: str, reason: str) -> None:
    with pytest.raises(JsonError, match=reason.replace("(", "\\(")):
        read_json(text)
    with pytest.raises(JsonError):
        read_json(text.encode())


@pytest.mark.parametrize("number", ["1" * 100, "-" + "1" * 99, "1." + "1" * 98])
def test_a_number_has_a_hundred_characters_at_most(number: str) -> None:
    assert json.dumps(read_json(f"[{number}]")) == json.dumps(json.loads(f"[{number}]"))
    with pytest.raises(JsonError, match="a number of 101 characters, more than 100; shorten it"):
        read_json(f"[{number}1]")


@pytest.mark.parametrize("text", ['[1, 2, "a,b[{", 3]', '{"a": [1, {}]}'])
def test_as_many_values_as_its_reader_takes_are_read(text: str) -> None:
    values = 4
    assert read_json(text, values_max=values) == json.loads(text)
    with pytest.raises(TooManyValuesError, match=f"more than {values - 1} values"):
        read_json(text, values_max=values - 1)


def test_bytes_that_are_not_utf_8_are_refused_and_a_bom_is_passed_over() -> None:
    with pytest.raises(JsonError, match="is not UTF-8: byte 2"):
        read_json(b'["\xff"]')
    with pytest.raises(JsonError):
        read_json('{"a": 1}'.encode("utf-16"))
    assert read_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_other_json_is_read_as_it_was_written(value: Any) -> None:
    assert read_json(json.dumps(value)) == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize("text", ['{"status":"Test","status":"Actual"}', '{"event":"submitted","event":"cancelled"}'])
def test_an_alert_and_an_alert_event_with_a_repeated_key_are_refused(text: str) -> None:
    for read in (read_alert, read_event):
        with pytest.raises(AlertInvalidError) as caught:
            read(text.encode())
        assert (caught.value.rule, "twice" in str(caught.value)) == ("json", True)
