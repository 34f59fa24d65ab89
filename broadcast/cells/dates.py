"""Dates that a spreadsheet has made of something else: found, so that no digit of them is dialled. Pure."""

import re

_NUMERIC = re.compile(
    r"(?P<a>[0-9]{1,4})(?P<separator>[-./])(?P<b>[0-9]{1,2})(?P=separator)(?P<c>[0-9]{2}|[0-9]{4})"
    r"(?:[ T][0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)?",
    re.ASCII,
)


def is_date(text: str) -> bool:
    """Whether a cell holds a date of the calendar: 2024-12-05, 5.12.2024, 12/05/24, with a time of day or without."""
    found = _NUMERIC.fullmatch(text)
    if found is None:
        return False
    a, b, c = int(found["a"]), int(found["b"]), int(found["c"])
    if len(found["a"]) == 4:
        return len(found["c"]) == 2 and 1800 <= a <= 2200 and 1 <= b <= 12 and 1 <= c <= 31
    day_and_month = (1 <= a <= 31 and 1 <= b <= 12) or (1 <= a <= 12 and 1 <= b <= 31)
    return len(found["a"]) < 3 and day_and_month and (len(found["c"]) == 2 or 1800 <= c <= 2200)
