"""The digits of a cell: a plus sign, digits and separators; what else stands there is refused by its name. Pure."""

import re
import unicodedata

from broadcast.cells.dates import is_date
from broadcast.cells.formulas import FORMULA, find_formula, read_text_formula
from broadcast.cells.names import read_name
from broadcast.errors import InputError

DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00ad", "-"))
LABEL = re.compile(
    r"(?:tel|telefon|téléphone|phone|mobile?|móvil|handy|cell|cellulare|gsm|portable|whatsapp|sms)[.:]* ?(?=[+(0-9])"
)
"""What may stand before a number and means that it is one."""
CALCULATED = re.compile(r"[A-Za-z*/&(^:]", re.ASCII)
SIGN = re.compile(r"[-+]", re.ASCII)
"""What stands in a formula that is more than a number, beside the sign of that number."""
DECIMAL = re.compile(r"[0-9]{7,}[.,][0-9]{1,2}", re.ASCII)
SCIENTIFIC = re.compile(r"[0-9](?:[.,][0-9]*)?e[+]?[0-9]{1,2}", re.ASCII | re.IGNORECASE)
EXTENSION = re.compile(
    r"(?:(?:x|;ext=|ext|extn|extension|durchwahl|dw|poste|int|interno|anexo|#)[.:]? ?[0-9]{1,7}"
    r"|[0-9 ]\([0-9]{1,3}\))\Z",
    re.ASCII | re.IGNORECASE,
)
RANGE = re.compile(
    r"[0-9)] ?(?:,|;|/|&|\+|\.\.\.?|und|u\.|and|or|oder|bis|to|through|et|ou|hasta|(?<= )(?:à|y|e|o|a)(?= ))"
    r" ?[0-9]{1,3}\Z",
    re.ASCII | re.IGNORECASE,
)
"""A second number of which only the last digits are written, or the last of a range."""
PARAMETER = re.compile(r"(?P<name>[a-z0-9-]+)(?:=(?P<value>.*))?", re.ASCII)
CONTEXT = re.compile(r"\+[0-9][0-9().-]*", re.ASCII)
BODY = re.compile(r"[+(]{0,2}[0-9][0-9 ()./-]*[0-9]", re.ASCII)
"""Digits and separators; what else stands in a cell is no part of a number."""
BRACKETS = re.compile(r"\([+]?([0-9]{1,6})\)", re.ASCII)
URI = "tel:"
EXTENDED = "has an extension: an SMS cannot reach it"

MOST_DIGITS = 25
LONGEST_AREA = 8
"""Most digits before a slash, as in 0151/1234567; beyond it the slash means "or"."""
LEAST_AFTER_SLASH = 4


class NumberError(InputError):
    """A text is not a phone number that can be dialled: why. Never holds the number."""


def read_digits(text: str) -> str:
    """The number in a cell: plus sign, digits and separators; raises NumberError for anything beside it."""
    shown = unicodedata.normalize("NFKC", read_name(text)).translate(DASHES)
    if not shown.isascii():
        shown = "".join(str(unicodedata.decimal(each, each)) for each in shown)
    formula = read_text_formula(shown)
    if formula.startswith("=") and (CALCULATED.search(formula) or SIGN.search(formula, 2)):
        raise NumberError(FORMULA)
    fault = find_formula(read_text_formula(shown.removeprefix("=")))
    if fault is not None:
        raise NumberError(fault)
    shown = shown.removeprefix("=").strip("'\"").strip()
    if shown[:1].isalpha():
        shown = LABEL.sub("", _read_uri(shown.lower()), count=1)
    if is_date(shown):
        raise NumberError("is a date: a spreadsheet has made it of a number, or it is of another column")
    if SCIENTIFIC.fullmatch(shown):
        raise NumberError("is in scientific notation, which has lost digits: export the column as text")
    if DECIMAL.fullmatch(shown):
        raise NumberError("is a decimal number, as spreadsheets write them: export the column as text")
    if EXTENSION.search(shown):
        raise NumberError(EXTENDED)
    if RANGE.search(shown):
        raise NumberError("is a range, or holds more than one number: give each row one number")
    if not any(each.isdigit() for each in shown):
        raise NumberError("is not a phone number: it has no digits")
    if any(each.isalpha() for each in shown):
        raise NumberError("has letters beside its digits: give the number only")
    if not BODY.fullmatch(shown):
        other = next((each for each in shown[1:] if each not in "0123456789 ()./-"), "")
        if other in {",", ";", "&", "|", "+"}:
            raise NumberError(f"holds more than one number, or a {other!r} within one: give each row one number")
        raise NumberError(
            f"has a {other!r}, which no number has" if other else "has no digit where a number begins or ends"
        )
    if shown.count("(") > 1 or shown.count("(") != shown.count(")") or ("(" in shown and not BRACKETS.search(shown)):
        raise NumberError("has brackets that are not one pair around digits")
    body = f"+{shown.lstrip('(+')}" if "+" in shown[:2] else shown
    if len(body) > MOST_DIGITS * 2 or sum(map(str.isdigit, body)) > MOST_DIGITS:
        raise NumberError("is too long for a phone number")
    before, slash, after = body.partition("/")
    if slash and ("/" in after or _digits(before) > LONGEST_AREA or _digits(after) < LEAST_AFTER_SLASH):
        raise NumberError("holds more than one number, by its slash: give each row one number")
    return body


def _read_uri(text: str) -> str:
    """The number of a tel: address with its context in front; any other text as it is.

    Source: RFC 3966. The text is in lower case.
    """
    number, *parameters = text.removeprefix(URI).split(";")
    found = [PARAMETER.fullmatch(each) for each in parameters]
    if not text.startswith(URI) or not found or not all(found):
        return text
    values = {each["name"]: each["value"] or "" for each in found if each is not None}
    context = values.pop("phone-context", None)
    if "ext" in values:
        raise NumberError(EXTENDED)
    if values:
        raise NumberError(f"has the parameter {min(values)!r} of a tel: address: give the number only")
    if context is None or number.startswith("+") or not CONTEXT.fullmatch(context):
        raise NumberError("has a phone-context that is no country code before a number without one: write the number")
    return f"{context}{number}"


def _digits(text: str) -> int:
    return sum(map(str.isdigit, text))
