"""A value of another kind than its field is refused, and never read as if it were of that kind."""

from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from broadcast.routing import check_routes
from broadcast.routing.answers import ResendUnanswered
from broadcast.routing.routes import Route
from broadcast.routing.smsc_account import Account, Flash, PriorityFlags

FILE = """
[[routes]]
name = "r"
prefixes = ["+49"]
{route}
[[routes.accounts]]
name = "a"
host = "h"
system_id = "s"
{account}
"""


def kind_of(annotation: Any) -> type | None:
    """The plain kind of a field's values; None for tables, lists and texts."""
    if get_origin(annotation) is dict:
        return None
    kinds = {annotation, *get_args(annotation)}
    return next((kind for kind in (bool, int, float) if kind in kinds), None)


def plain_fields(model: type[BaseModel]) -> list[tuple[str, type]]:
    found = [(name, kind_of(field.annotation)) for name, field in model.model_fields.items()]
    return [(name, kind) for name, kind in found if kind is not None]


def written(kind: type) -> tuple[str, ...]:
    """Values in TOML that are of another kind, and could be taken for this one."""
    return ('"true"', "1") if kind is bool else ('"12"', "true")


PLACES = [
    *(("route", name, "{}", kind) for name, kind in plain_fields(Route)),
    *(("account", name, "{}", kind) for name, kind in plain_fields(Account)),
    *(
        ("account", table, f"{{{{ {name} = {{}} }}}}", kind)
        for table, model in (
            ("flash", Flash),
            ("priority_flag", PriorityFlags),
            ("resend_unanswered", ResendUnanswered),
        )
        for name, kind in plain_fields(model)
    ),
]


@pytest.mark.parametrize(("table", "field", "form", "kind"), PLACES)
def test_a_number_or_a_truth_value_is_no_text_and_neither_is_the_other(
    table: str, field: str, form: str, kind: type
) -> None:
    for value in written(kind):
        lines = {"route": "", "account": "" if field == "port" else "port = 2775"}
        lines[table] += f"\n{field} = {form.format(value)}"
        faults = check_routes(FILE.format(**lines)).faults
        assert [fault.rule.startswith("must be ") for fault in faults] == [True], (value, faults)


def test_a_whole_number_is_a_number() -> None:
    assert check_routes(FILE.format(route="", account="port = 2775\nweight = 2")).faults == ()
