"""Write docs/settings.md from the models of the settings and of the routes file (make docs)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from broadcast.routing.answers import ResendUnanswered
from broadcast.routing.routes import Route
from broadcast.routing.smsc_account import Account, Flash, PriorityFlags, Tls
from broadcast.settings import Settings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

BEGINNING = """\
# Settings

This page is generated from the code by `make docs`; do not edit it. A test fails when page and code differ.

Every process reads its settings from environment variables. A name is looked up in this order; the first value is used:

1. the environment variable, for example `BROADCAST_API_PORT`;
2. the file `stack.env` in the data directory, which a running `broadcast up` writes;
3. a file with the name of the variable in lower case, in the directory that `BROADCAST_SECRETS_DIR` names. Use this for
   passwords and keys.

A wrong value ends the process at its start; the message names the variable, the value and what is allowed.
Durations are in seconds. "not set" means that there is no value.
"""

OTHERS = """
## Variables that are not settings of a stage

| variable | default | meaning |
|---|---|---|
| `BROADCAST_SECRETS_DIR` | not set | Directory of files that hold settings, one value in a file. |
| `BROADCAST_CACHE_DIR` | `tocsin` in the user's cache directory | Jars, format and classes of the embedded Kafka. |
| `BROADCAST_MAVEN_REPOSITORY` | Maven Central | Address of the repository that the jars are downloaded from. |

# Routes file

`BROADCAST_ROUTES_FILE` names a TOML file. It has one `[[routes]]` table for each route, and in it one
`[[routes.accounts]]` table for each account of an SMSC. `examples/routes.toml` is an example. An unknown field is an
error. Route names and account names must be unique in the file.
"""

HEADINGS = {
    "data_dir": "Process",
    "kafka_bootstrap": "Kafka: connection",
    "topic_prefix": "Kafka: topics",
    "session_timeout_seconds": "Kafka: groups and transactions",
    "database_url": "PostgreSQL",
    "routes_file": "Routes and numbers",
    "default_expiry_seconds": "Alerts",
    "sender_route": "Sender",
    "api_host": "API and commands",
    "metrics_host": "Metrics and logs",
}
"""The heading that begins before a field."""

ROUTES_FILE = (
    ("`[[routes]]`", Route),
    ("`[[routes.accounts]]`", Account),
    ("`tls` of an account", Tls),
    ("`priority_flag` of an account", PriorityFlags),
    ("`flash` of an account", Flash),
    ("`resend_unanswered` of an account", ResendUnanswered),
)

TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
FORMATS = {"path": "path", "password": "secret"}
BOUNDS = (
    ("minimum", "at least {:,}"),
    ("exclusiveMinimum", "more than {:,}"),
    ("maximum", "at most {:,}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} of them"),
)


NOT_EMPTY = "at least 1 characters"


def render() -> str:
    """The whole page."""
    lines = [BEGINNING]
    for name, row in _rows(Settings, "BROADCAST_"):
        if name in HEADINGS:
            lines += ["", f"## {HEADINGS[name]}", "", *_head("variable")]
        lines.append(row)
    lines.append(OTHERS)
    for title, model in ROUTES_FILE:
        lines += [f"## {title}", "", *_head("field"), *(row for _, row in _rows(model)), ""]
    return "\n".join(lines).replace("\n\n\n", "\n\n").rstrip() + "\n"


def _head(first: str) -> tuple[str, str]:
    return f"| {first} | type | bounds | default | meaning |", "|---|---|---|---|---|"


def _rows(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    schema = model.model_json_schema(mode="validation")
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    for name, field in schema["properties"].items():
        kind, bounds = _describe(field, definitions)
        shown = f"{prefix}{name}".upper() if prefix else name
        default = _default(model, name)
        yield name, f"| `{shown}` | {kind} | {bounds} | {default} | {field.get('description', '')} |"


def _describe(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[str, str]:
    if "$ref" in field:
        target = definitions[field["$ref"].rpartition("/")[2]]
        return ("table", "") if target.get("type") == "object" else _describe(target, definitions)
    if "anyOf" in field:
        (only,) = (option for option in field["anyOf"] if option.get("type") != "null")
        return _describe(only, definitions)
    if "enum" in field:
        return "one of", ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "object":
        return "table", _bounds(field)
    if field.get("type") == "array":
        kind, each = _describe(field["items"], definitions)
        own = _bounds(field)
        return f"list ({kind})", "; ".join(filter(None, (own, each and f"each {each}")))
    return FORMATS.get(field.get("format", "")) or TYPES[field["type"]], _bounds(field)


def _bounds(field: Mapping[str, Any]) -> str:
    found = [text.format(field[key]) for key, text in BOUNDS if key in field]
    found = ["not empty" if text == NOT_EMPTY else text for text in found]
    if "pattern" in field:
        found.append(f"matches `{field['pattern']}`")
    return ", ".join(found)


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "must be given"
    if field.default_factory is not None:
        return "see meaning"
    value = field.default
    if value is None:
        return "not set"
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value == {}:
        return "empty"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`" if str(value) else "empty"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
