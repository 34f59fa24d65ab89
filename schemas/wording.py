"""What pydantic finds wrong with one value, in plain words. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import ErrorDetails

VALUE_LIMIT: Final = 60
"""Characters of a value that an error quotes."""

BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "missing": ("is missing", "add it"),
    "greater_than": ("must be more than {gt:g}", "raise it"),
    "greater_than_equal": ("must be at least {ge:g}", "raise it"),
    "less_than": ("must be less than {lt:g}", "lower it"),
    "less_than_equal": ("must be at most {le:g}", "lower it"),
    "finite_number": ("must be finite", "write a number"),
    "string_too_short": ("is empty", "write it"),
    "string_too_long": ("must have at most {max_length} characters", "shorten it"),
    "too_short": ("must have at least {min_length}", "add one"),
    "too_long": ("must have at most {max_length}", "remove some"),
    "literal_error": ("must be {expected}", "write one of these"),
    "enum": ("must be {expected}", "write one of these"),
    "tuple_type": ("must be a list", "write it in square brackets"),
}
"""Rule and step by the type of an error; the values in braces are of its context."""

KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "int": ("must be a whole number", "write one without quotation marks"),
    "float": ("must be a number", "write one without quotation marks"),
    "bool": ("must be true or false", "write one of these, without quotation marks"),
    "string": ("must be a text", "write it in quotation marks"),
    "path": ("must be a path", "write it in quotation marks"),
}
"""The same, by the first word of the type, where the kind of value is wrong."""


def explain(detail: ErrorDetails) -> tuple[str, str] | None:
    """What the value must be, and what to do; None for a type of error that has no words here."""
    kind = detail["type"]
    words = BOUNDS.get(kind) or KINDS.get(kind.partition("_")[0])
    try:
        return None if words is None else _fill(words, detail.get("ctx", {}))
    except (KeyError, ValueError):
        return None


def _fill(words: tuple[str, str], context: Mapping[str, Any]) -> tuple[str, str]:
    rule, step = words
    return rule.format(**context), step.format(**context)


def quote(value: object) -> str:
    """A value as an error shows it, cut to `VALUE_LIMIT` characters; empty for one of many parts."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        return ""
    try:
        text = repr(value)
    except ValueError:
        # A number of more digits than Python writes.
        return ""
    return text if len(text) <= VALUE_LIMIT else f"{text[:VALUE_LIMIT]}…"
