"""Which rule for message ids makes receipts match submits: every rule is tried, none is guessed. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from broadcast.smpp.codec.message_ids import (
    LONGEST_NUMBER,
    MessageIdRule,
    name_rule,
    normalise_receipt_ids,
    normalise_response_ids,
)

SHORTEST_WIDTH: Final = 6
"""Shorter ends of ids are the same by chance."""


class SeenId(NamedTuple):
    """A message id as the audit has it, and the hash of the number that it goes with."""

    message_id: str
    number_hash: int


class IdRule(NamedTuple):
    """An account's `message_id_rule` and `message_id_width`; its name is the one that receipts on Kafka have."""

    rule: MessageIdRule
    width: int = 0

    @property
    def name(self) -> str:
        """For example `as_is`, `hex_to_decimal`, `as_is/10`."""
        return name_rule(self.rule, self.width)

    @property
    def fields(self) -> str:
        """What to write into the routes file."""
        width = f"\nmessage_id_width = {self.width}" if self.width else ""
        return f'message_id_rule = "{self.rule.value}"{width}'


def read_rule(name: str) -> IdRule:
    """The rule that a receipt on Kafka names; `as_is` for an empty or unknown name."""
    rule, _, width = name.partition("/")
    try:
        return IdRule(MessageIdRule(rule or MessageIdRule.AS_IS), int(width or 0))
    except ValueError:
        return IdRule(MessageIdRule.AS_IS)


def count_matches(receipts: Sequence[SeenId], accepted: Iterable[SeenId], current: IdRule) -> list[tuple[IdRule, int]]:
    """How many receipts each other rule would match with an accepted submit to the same number; the best rule first.

    Ids are those that the `current` rule made of what the SMSC sent. Rules that would match nothing are left out, and
    of equal ones the simplest comes first.
    """
    submits = [SeenId(raw, seen.number_hash) for seen in accepted for raw in _before(seen.message_id, current)]
    found: list[tuple[IdRule, int]] = []
    for rule in MessageIdRule:
        ours = _normalised(submits, normalise_response_ids, rule)
        theirs = _normalised(receipts, normalise_receipt_ids, rule)
        for width in (0, *_widths(ours, theirs)):
            known = {(number, _end(message_id, width)) for message_id, number in ours}
            count = sum((number, _end(message_id, width)) in known for message_id, number in theirs)
            if count and (rule, width) != current:
                found.append((IdRule(rule, width), count))
    return sorted(found, key=lambda one: (-one[1], one[0].width > 0))


def _normalised(
    seen: Sequence[SeenId], normalise: Callable[[Iterable[bytes], MessageIdRule], list[bytes]], rule: MessageIdRule
) -> list[tuple[bytes, int]]:
    ids = normalise([one.message_id.encode("latin-1", "replace") for one in seen], rule)
    return [(message_id, one.number_hash) for message_id, one in zip(ids, seen, strict=True)]


def _end(message_id: bytes, width: int) -> bytes:
    return message_id[-width:] if width else message_id


def _widths(ours: Sequence[tuple[bytes, int]], theirs: Sequence[tuple[bytes, int]]) -> tuple[int, ...]:
    """The width of the shorter of both sides' usual ids, if they differ and it is not too short."""
    if not ours or not theirs:
        return ()
    one, other = (Counter(len(message_id) for message_id, _ in side).most_common(1)[0][0] for side in (ours, theirs))
    width = min(one, other)
    return (width,) if one != other and width >= SHORTEST_WIDTH else ()


def _before(message_id: str, current: IdRule) -> set[str]:
    """What the SMSC may have answered, given what the current rule made of it."""
    raw = {message_id}
    if len(message_id) <= LONGEST_NUMBER and message_id.isascii():
        if current.rule is MessageIdRule.HEX_TO_DECIMAL and message_id.isdigit():
            raw.add(f"{int(message_id):X}")
        elif current.rule is MessageIdRule.DECIMAL_TO_HEX and message_id.isalnum():
            with suppress(ValueError):
                raw.add(str(int(message_id, 16)))
    return raw
