"""What is wrong with an alert or alert event: field, rule and message of each fault."""

from collections.abc import Iterable
from itertools import islice

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.wording import explain, quote

PROBLEMS_MAX = 100
"""Most faults that one error names."""


class AlertInvalidError(ValueError):
    """An alert or alert event that cannot be read: `problems` holds (field, rule, message) of each fault."""

    def __init__(self, problems: Iterable[tuple[str, str, str]]) -> None:
        self.problems = tuple(islice(problems, PROBLEMS_MAX))
        self.field, self.rule, message = self.problems[0]
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(f"{self.field or 'alert'}: {message} [{self.rule}]{more}")


def problems_of(error: ValidationError) -> list[tuple[str, str, str]]:
    """Pydantic's faults as (field, rule, message), `PROBLEMS_MAX` at most.

    A field is a path such as `info[0].area[1].polygon[0]`.
    """
    return [
        (
            "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip("."),
            fault.get("ctx", {}).get("rule") or _RULES.get(fault["type"], "6.1"),
            _message_of(fault),
        )
        for fault in islice(error.errors(include_url=False), PROBLEMS_MAX)
    ]


_RULES = {"missing": "6.1", "enum": "6.2", "extra_forbidden": "R21"}


def _message_of(fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return "no such field; check its spelling"
    if fault["type"] == "model_type":
        return "must be an object; write its fields in braces"
    context = fault.get("ctx", {})
    message = context["reason"] if "reason" in context else "; ".join(explain(fault) or (fault["msg"],))
    value = quote(fault["input"])
    return f"{value}: {message}" if value else message
