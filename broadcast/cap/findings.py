"""Findings: what is wrong, or merely unwise, with an alert, and where."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from broadcast.errors import InputError
from schemas.alert import PROBLEMS_MAX


class Level(StrEnum):
    """An error refuses the alert; a warning goes with it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `path` is the JSON path of the field (`info[0].area[1].polygon[0]`), empty for the whole alert;
    `rule` is explained in docs/cap.md."""

    level: Level
    path: str
    rule: str
    message: str


class CapError(InputError):
    """An alert that breaks CAP's rules; `details` are its findings, warnings included."""

    def __init__(self, details: Iterable[Finding]) -> None:
        self.details = tuple(details)
        errors = [finding for finding in self.details if finding.level is Level.ERROR][:PROBLEMS_MAX]
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(
            f"{first.path or 'alert'}: {first.message} [{first.rule}]{more}",
            tuple((finding.path, finding.rule, finding.message) for finding in errors),
        )


class NotCap12Error(CapError):
    """The document is no CAP 1.2, though it may be another CAP."""


def error(path: str, rule: str, message: str) -> Finding:
    """A finding that refuses."""
    return Finding(Level.ERROR, path, rule, message)


def warning(path: str, rule: str, message: str) -> Finding:
    """A finding that does not refuse."""
    return Finding(Level.WARNING, path, rule, message)
