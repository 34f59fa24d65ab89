"""Formulas and errors of spreadsheets: found, so that none becomes a name, and text in a formula is read. Pure."""

import re

_TEXT = re.compile(r'="(?P<text>[^"]*)"')
_FORMULA = re.compile(r"=|[-+@][ ]*[A-Za-z_.]+[0-9]*\(", re.ASCII)
_ERROR = re.compile(r"#(?:REF!|NAME\?|N/A|VALUE!|DIV/0!|NULL!|NUM!|SPILL!|CALC!)|Err:[0-9]{3}", re.IGNORECASE)

FIRST = frozenset("=-+@#eE")
"""What a formula or an error begins with."""

FORMULA = "is a formula of a spreadsheet, not its result: export the values"
ERROR = "is an error of a spreadsheet: correct the formula there, and export the values"


def read_text_formula(text: str) -> str:
    """The text of a formula that is only text in quotes, like ="0151"; anything else as it is."""
    found = _TEXT.fullmatch(text)
    return found["text"] if found else text


def find_formula(text: str) -> str | None:
    """Why a cell is a formula, or the error of one, and no text; None for text."""
    if text[:1] not in FIRST:
        return None
    if _FORMULA.match(text):
        return FORMULA
    return ERROR if _ERROR.fullmatch(text) else None
