"""Latitude and longitude in degrees. Pure."""

import re

_USUAL = re.compile(r"-?[0-9]{1,3}\.[0-9]{1,16}", re.ASCII)
_DEGREES = re.compile(r"(?P<sign>[-+\u2212]?)(?P<whole>[0-9]{1,3})(?:[.,](?P<part>[0-9]{1,16}))? ?°?", re.ASCII)


def read_degrees(text: str, limit: int) -> float | None:
    """Degrees with a decimal point or comma, between -`limit` and `limit`; None for anything else.

    A letter (N, E, Ost, Ouest), minutes and seconds, a second separator and exponents are not read.
    """
    if _USUAL.fullmatch(text):
        degrees = float(text)
    else:
        found = _DEGREES.fullmatch(text)
        if found is None:
            return None
        degrees = float(f"{'-' if found['sign'] in ('-', '−') else ''}{found['whole']}.{found['part'] or '0'}")
    return degrees if -limit <= degrees <= limit else None
