"""What is known of one account's receipts that met no attempt, and what to do about them, in words. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broadcast.audit.receipt_owner import REUSED_AFTER
from broadcast.audit.receipts.id_rules import IdRule
from broadcast.text.counts import counted

ENOUGH_SHARE: Final = 0.5
"""Of the receipts looked at, that a rule must match to be named as the one to set."""

FEWEST: Final = 20
"""So few receipts after a change of the rule may all be of messages that were sent before it."""

PARTS_ENOUGH: Final = 20


@dataclass(frozen=True, slots=True)
class Unmatched:
    """The receipts of one account that have met no attempt for a minute.

    `count` are those that may still meet one, `given_up` those that are too old for that, of all since `oldest`.
    `in_force` is the rule of the account's newest receipt. Of the newest unmatched, `earlier` were read with another
    rule, the last of these `earlier_rule`; they may meet an attempt until `earlier_until`. `sampled` were looked at:
    the others, or if there are none the earlier ones, with the rule `current`. `rules` says how many of them each other
    rule would match. Of `messages` of several parts with a receipt, `with_one_receipt` have it for one part only.
    """

    account: str
    count: int
    given_up: int
    oldest: datetime
    newest: datetime
    sampled: int
    current: IdRule
    in_force: IdRule
    earlier: int
    earlier_rule: IdRule
    earlier_until: datetime | None
    rules: list[tuple[IdRule, int]]
    messages: int
    with_one_receipt: int

    @property
    def by_rule_in_force(self) -> int:
        """How many were read with the rule in force, as far as is known: only these say something about it."""
        if not self.earlier:
            return self.count
        return self.sampled if self.current == self.in_force else 0

    @property
    def fitting(self) -> list[IdRule]:
        """The rules that match most of what was looked at, and equally many."""
        if not self.rules or self.rules[0][1] < ENOUGH_SHARE * self.sampled:
            return []
        return [rule for rule, count in self.rules if count == self.rules[0][1]]

    @property
    def one_receipt_for_all(self) -> bool:
        """Whether nearly all messages of several parts have a receipt for one part only."""
        return self.messages >= PARTS_ENOUGH and self.with_one_receipt >= 0.8 * self.messages

    @property
    def advice(self) -> str:
        """What to do, in words."""
        lines = []
        if self.count:
            if self.by_rule_in_force:
                lines.append(self._advice_about_rule)
            if self.earlier:
                lines.append(self._advice_about_earlier)
        if self.one_receipt_for_all:
            lines.append(
                f"of {counted(self.messages, 'message')} with several parts {self.with_one_receipt:,} had a receipt "
                f'for one part only: if this SMSC sends one receipt for all parts, write receipt_covers = "message"'
            )
        if self.given_up:
            lines.append(
                f"{self.given_up:,} came more than {REUSED_AFTER} ago, and no attempt can have them any more: "
                "nothing is to be done"
            )
        return "; ".join(lines)

    @property
    def _advice_about_rule(self) -> str:
        fitting = self.fitting
        if self.earlier and self.sampled < FEWEST:
            return (
                f"{self.sampled:,} were read with {self.in_force.name}, which is in force: their messages may have "
                f"been sent before it was; look again when there are {FEWEST}"
            )
        looked = f"of the newest {self.sampled:,} looked at"
        if not fitting:
            return (
                f"{looked} no id rule would match half: look whether another system or another account of the routes "
                "file uses this login, and whether a sender was killed before it wrote down what it had sent"
            )
        line = (
            f"{looked} none matched with {self.current.name}, {self.rules[0][1]:,} would with {fitting[0].name}: "
            f"write {fitting[0].fields} into account {self.account} of the routes file; if it stands there already, "
            "wait for the next receipt, which shows it"
        )
        if self.current != IdRule(fitting[0].rule) and len(fitting) > 1 and self.current.name != "as_is":
            others = ", ".join(rule.name for rule in fitting[1:])
            line += f"; the ids also fit {others}: if the rule does not help, set as_is and look again"
        return line

    @property
    def _advice_about_earlier(self) -> str:
        looked_at = self.earlier + (self.sampled if self.current == self.in_force else 0)
        return (
            f"{self.earlier:,} of the newest {looked_at:,} looked at came before {self.in_force.name} was in force, "
            f"and were read with {self.earlier_rule.name}: nothing is to be done for new ones; they stay listed until "
            f"{self.earlier_until:%Y-%m-%d %H:%M}, when they are given up"
        )
