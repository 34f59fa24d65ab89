"""The target groups of an alert."""

from broadcast.cells.names import read_name
from broadcast.errors import InputError
from schemas.alert import Alert

PREFIX = "group:"


class TargetError(InputError):
    """An alert names no target group; without one it goes to nobody, never to everybody."""


def groups_of(alert: Alert) -> tuple[str, ...]:
    """The groups that an alert names in `addresses` (as `NAME` or `group:NAME`) and in `groups`, each once, in order.

    Raises `TargetError` when there are none: an empty target never means everybody (`docs/cap.md`).
    """
    addressed = (name.removeprefix(PREFIX) for name in alert.addressed)
    names = (read_name(name) for name in (*addressed, *alert.groups))
    groups = tuple(dict.fromkeys(name for name in names if name))
    if not groups:
        message = "names no target group; put group names in addresses (or in groups of the JSON form)"
        raise TargetError(f"addresses: {message} [R5]", (("addresses", "R5", message),))
    return groups
