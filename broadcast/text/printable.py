"""Text that others wrote, such as an SMSC, as a terminal and a spreadsheet may get it. Pure."""

import re
from typing import Final

_PLAIN_NUMBER: Final = re.compile(r"[-+][0-9]+")
_FORMULA: Final = ("=", "+", "-", "@")


def printable(text: str) -> str:
    r"""The text with everything that is not printable as an escape: \x1b, \n, \u202e.

    Nothing of it moves the cursor, changes colours or the direction, or begins a line.
    """
    if text.isprintable():
        return text
    return "".join([each if each.isprintable() else _escape(each) for each in text])


def printable_lines(text: str) -> str:
    """The text of several lines, each of them as `printable`."""
    return "\n".join([printable(line) for line in text.split("\n")])


def csv_cell(value: object) -> object:
    """A cell of CSV that no spreadsheet takes for a formula: an apostrophe stands in front of one. Numbers stay."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _PLAIN_NUMBER.fullmatch(text) else text


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
