"""Query parameters that a route does not know, or that cannot be read: refused, since passing over one may mislead."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from fastapi import Request
from fastapi.dependencies.models import Dependant
from pydantic.fields import FieldInfo

from broadcast.errors import InputError

RULE: Final = "query"
NAME_LENGTH_SHOWN: Final = 40


def refuse_unknown_parameters(request: Request) -> None:
    """A dependency of each route: InputError (422) for query text that the route does not read as it is meant."""
    check_query(request.scope["query_string"], known_of(request.scope["route"].dependant))


def known_of(dependant: Dependant) -> dict[str, bool]:
    """The query parameters that a route and its dependencies read, and whether each may be repeated."""
    known = {field.alias: _may_repeat(field.field_info) for field in dependant.query_params}
    for each in dependant.dependencies:
        known |= known_of(each)
    return known


def check_query(query: bytes, known: Mapping[str, bool]) -> None:
    """Refuse a query with an unknown name, a name given twice, or text that is not UTF-8.

    `known` says of each name whether it may be repeated. Raises InputError.
    """
    seen: set[str] = set()
    for pair in filter(None, query.split(b"&")):
        name, value = (unquote_to_bytes(part.replace(b"+", b" ")) for part in _split(pair))
        shown = name.decode("utf-8", "backslashreplace")[:NAME_LENGTH_SHOWN]
        if not _is_utf8(name) or not _is_utf8(value):
            raise _refusal(shown, "is not UTF-8; percent-encode its UTF-8 form, such as S%C3%BCd for Süd")
        if shown not in known:
            names = f"known are {', '.join(sorted(known))}" if known else "this route has none"
            raise _refusal(shown, f"is not known here, and nothing was done; {names}")
        if shown in seen and not known[shown]:
            raise _refusal(shown, "is given twice; give it once")
        seen.add(shown)


def _split(pair: bytes) -> Sequence[bytes]:
    name, _, value = pair.partition(b"=")
    return name, value


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _may_repeat(field: FieldInfo) -> bool:
    return "list[" in str(field.annotation)


def _refusal(name: str, message: str) -> InputError:
    return InputError(f"query parameter {name!r} {message}", ((f"query.{name}", RULE, message),))
