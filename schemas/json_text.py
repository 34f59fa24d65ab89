"""JSON from outside, refused where two readers could understand it differently (RFC 8259, sections 4, 6 and 8)."""

import json
import re
from itertools import islice
from typing import Any, NoReturn

DIGITS_MAX = 100
"""Most characters of one number; no field of ours needs more."""


class JsonError(ValueError):
    """Text that is no JSON, or that two readers would understand differently; the message says what to change."""


class TooManyValuesError(JsonError):
    """Text that holds more values than its reader takes."""


def read_json(value: bytes | str, *, texts_are_checked: bool = False, values_max: int | None = None) -> Any:
    """The content of a JSON text in UTF-8; raises `JsonError`.

    Refused are a key that an object holds twice, NaN and Infinity, numbers of more than `DIGITS_MAX` characters or
    beyond what a float holds, surrogates without their pair, and other encodings. `texts_are_checked`: whoever reads
    the content looks at its texts, and names the field with the surrogate. `values_max`: most fields of objects and
    members of lists, all together; more are refused with `TooManyValuesError` before they take memory.
    """
    try:
        text = value if isinstance(value, str) else value.decode()
        if values_max is not None:
            _check_count(text, values_max)
        # A BOM is no JSON, but is often put before it.
        content = _DECODER.decode(text.removeprefix("\ufeff"))
        if not texts_are_checked and "\\u" in text:
            _check_surrogates(content)
    except JsonError:
        raise
    except UnicodeDecodeError as error:
        raise JsonError(f"is not UTF-8: byte {error.start}; write it anew as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise JsonError(f"is not JSON: {error}") from None
    return content


def _check_count(text: str, values_max: int) -> None:
    if text.count(",") + text.count("{") + text.count("[") <= values_max:
        return
    # Texts may hold these characters too.
    signs = (found for found in _SIGN_OR_TEXT.finditer(text) if found.lastindex)
    if next(islice(signs, values_max, None), None) is not None:
        raise TooManyValuesError(f"holds more than {values_max} values; leave out what nobody needs, or divide it")


_SIGN_OR_TEXT = re.compile(r'([,{[])|"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""What stands before a value, or a text. A text may end without its quotation mark, so that none is read twice."""


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise JsonError(f"is ambiguous: an object holds the key {name[:80]!r} twice; remove one of them")
            seen.add(name)
    return content


def _read_float(text: str) -> float:
    number = float(_bounded(text))
    if number in (float("inf"), float("-inf")):
        raise JsonError(f"holds the number {text[:40]}, which is too large")
    return number


def _bounded(text: str) -> str:
    if len(text) > DIGITS_MAX:
        raise JsonError(f"holds a number of {len(text)} characters, more than {DIGITS_MAX}; shorten it")
    return text


def _refuse_constant(text: str) -> NoReturn:
    raise JsonError(f"holds {text}, which is no JSON; leave the field out, or write a number")


def _check_surrogates(content: Any) -> None:
    waiting = [content]
    while waiting:
        match waiting.pop():
            case str() as text:
                _check_text(text)
            case dict() as found:
                waiting.extend(found)
                waiting.extend(found.values())
            case list() as found:
                waiting.extend(found)


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = ord(text[error.start])
        raise JsonError(f"holds a lone surrogate (U+{shown:04X}), which is no character; remove it") from None


_DECODER = json.JSONDecoder(
    object_pairs_hook=_make_object,
    parse_float=_read_float,
    parse_int=lambda text: int(_bounded(text)),
    parse_constant=_refuse_constant,
)
