"""How an account behaves at a moment: base, its own changes, rules of that time, requests over HTTP."""

from collections.abc import Mapping, Sequence
from typing import Final

from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.profile.matching import is_active, next_change
from broadcast.smsc.profile.tables import Account, Rule


class Schedule:
    """The behaviour of one account as a function of time; pure."""

    def __init__(self, account: Account | None, general: Mapping[str, object], rules: Sequence[Rule]) -> None:
        """`general` is the behaviour table of the profile; `rules` are all rules that name this account or none."""
        self._fixed: Final[dict[str, object]] = {**general, **(account.behaviour if account is not None else {})}
        self._rules: Final = tuple(rule for rule in rules if rule.behaviour)

    def behaviour_at(self, base: Behaviour, elapsed: float, asked: Mapping[str, object]) -> Behaviour:
        """The behaviour `elapsed` seconds after the start; `asked` has priority over all others."""
        changes = dict(self._fixed)
        for rule in reversed(self._rules):
            if is_active(rule, elapsed):
                changes.update(rule.behaviour)
        changes.update(asked)
        return base.change(changes) if changes else base

    def next_change(self, elapsed: float) -> float | None:
        """When it changes next, in seconds after the start; None: never."""
        return next_change(self._rules, elapsed)


def rules_of(rules: Sequence[Rule], account: str) -> tuple[Rule, ...]:
    """The rules that hold for this account, in their order."""
    return tuple(rule for rule in rules if not rule.accounts or account in rule.accounts)
