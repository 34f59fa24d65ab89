"""What is wrong in a routes file, in words. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from broadcast.network.addresses import hide_login
from broadcast.routing.contradictions import ContradictionsError
from broadcast.routing.fields import FORMS, RULE
from broadcast.routing.lines import Path
from schemas.wording import VALUE_LIMIT, explain, quote

ALL_FIELDS: Final = "all fields are in docs/settings.md"

SYNONYMS: Final[Mapping[str, str]] = {
    "username": "system_id",
    "user": "system_id",
    "login": "system_id",
    "throughput": "rate_per_second",
    "tps": "rate_per_second",
    "rate": "rate_per_second",
    "sender": "source_addr",
    "sender_id": "source_addr",
    "originator": "source_addr",
    "from": "source_addr",
    "connections": "binds",
    "sessions": "binds",
    "window_size": "window",
    "ssl": "tls",
    "unknown_policy": "resend_unanswered",
}
"""Names that carriers' forms, other gateways and older files use, and the field that is meant."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where, what, and what to do. `value` is empty where it is not to be shown.

    `line` counts from 1; 0 says that none is known.
    """

    line: int
    place: str
    field: str
    value: str
    rule: str
    step: str

    def write(self, name: str) -> str:
        """The fault in one line, for the file of that name."""
        where = f"{name}:{self.line}" if self.line else name
        value = f" = {self.value}" if self.value else ""
        subject = ": ".join(filter(None, (self.place, f"{self.field}{value}" if self.field else "")))
        return f"{where}: {subject}: {self.rule}; {self.step}" if subject else f"{where}: {self.rule}; {self.step}"


class Places:
    """The fields of a routes file by path: their lines, their values, and the route and account they belong to.

    `content` is the file as TOML has it.
    """

    def __init__(self, content: object, lines: Mapping[Path, int], file: type[BaseModel]) -> None:
        self.content: Final = content
        self._lines: Final = lines
        self._tables: Final = dict(_find_tables(file, ()))

    def fault(self, path: Path, rule: str, step: str, *, shown: bool = True) -> Fault:
        """A fault of the field at `path`; a value that may be secret is never shown."""
        table, field = self._divide(path)
        written = self._value(path)
        if isinstance(written, str) and written and (hidden := hide_login(written)) != written:
            # A rule may quote the value.
            written, rule, step = hidden, rule.replace(written, hidden), step.replace(written, hidden)
        value = quote(written) if shown and not any("password" in str(part).lower() for part in path) else ""
        return Fault(self.line(path), self._name(table), field, value, rule, step)

    def describe(self, error: ValidationError) -> Iterator[Fault]:
        """The faults that a validation of the whole file found."""
        details = error.errors(include_url=False)
        for detail in details:
            path: Path = tuple(detail["loc"])
            if detail["type"] == "too_short" and any(is_below(tuple(other["loc"]), path) for other in details):
                # It only says that no element of the list is right.
                continue
            contradictions = detail.get("ctx", {}).get("error")
            if isinstance(contradictions, ContradictionsError):
                for found in contradictions.found:
                    yield self.fault((*path, *found.field), found.rule, found.step)
            elif detail["type"] == "extra_forbidden":
                yield self.fault(path, "no such field", self._suggest(path), shown=False)
            else:
                yield self.fault(path, *_explain(detail, path))

    def line(self, path: Path) -> int:
        """The line of a field, or of the nearest table around it; 0 where none is known."""
        return next((self._lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self._lines), 0)

    def _value(self, path: Path) -> Any:
        value: Any = self.content
        try:
            for part in path:
                value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
        return value

    def _divide(self, path: Path) -> tuple[Path, str]:
        """The path of the route or account, and the name of the field in it."""
        end = 2 if path[:1] == ("routes",) and len(path) >= 2 else 0
        if path[2:3] == ("accounts",) and len(path) >= 4:
            end = 4
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path[end:])
        return path[:end], field.lstrip(".")

    def _name(self, table: Path) -> str:
        """How a person finds the route or account: by its name, or by its number where that is missing."""
        names = []
        for kind, end in (("route", 2), ("account", 4)):
            if len(table) >= end:
                name = self._value((*table[:end], "name"))
                known = isinstance(name, str) and 0 < len(name) <= VALUE_LIMIT
                names.append(f"{kind} {hide_login(name)!r}" if known else f"{kind} {int(table[end - 1]) + 1}")
        return ", ".join(names)

    def _suggest(self, path: Path) -> str:
        name = str(path[-1])
        own = self._tables.get(_table_name(path[:-1]), ())
        near = SYNONYMS.get(name.lower().replace("-", "_"))
        if near not in own:
            near = next(iter(get_close_matches(name.lower(), own, 1, 0.6)), None)
        elsewhere = next((table for table, fields in self._tables.items() if name in fields), None)
        if elsewhere is not None:
            return f"it belongs into {_header(elsewhere)}, before any other table in it"
        return f"write {near!r}" if near else f"remove it; {ALL_FIELDS}"


def _explain(detail: ErrorDetails, path: Path) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == RULE:
        return str(context["rule"]), str(context["step"])
    if kind == "value_error":
        rule, _, step = str(context["error"]).partition("; ")
        return rule, step or ALL_FIELDS
    if kind == "string_pattern_mismatch":
        field = next(part for part in reversed(path) if isinstance(part, str))
        return "has the wrong form", FORMS.get(field, f"it must match {context['pattern']}")
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        return "must be a table", "write it as a table, { name = value }"
    return explain(detail) or (detail["msg"], ALL_FIELDS)


def _find_tables(model: type[BaseModel], name: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Sequence[str]]]:
    yield name, tuple(model.model_fields)
    for field, information in model.model_fields.items():
        for inner in _models_in(information.annotation):
            yield from _find_tables(inner, (*name, field))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def is_below(path: Path, other: Path) -> bool:
    """Whether `path` is a field or an element of `other`."""
    return len(path) > len(other) and path[: len(other)] == other


def _table_name(path: Path) -> tuple[str, ...]:
    return tuple(part for part in path if isinstance(part, str))


def _header(table: tuple[str, ...]) -> str:
    if table in {("routes",), ("routes", "accounts")}:
        return f"[[{'.'.join(table)}]]"
    return f"[{'.'.join(table)}]" if table else "the beginning of the file"
