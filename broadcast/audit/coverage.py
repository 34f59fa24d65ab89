"""Receipts that speak for all parts of a message, where an account sends one for all of them. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from broadcast.audit.codes import CODE_OF_OUTCOME, FINAL_RECEIPT_CODES, STATE_OF_CODES
from schemas.status import DeliveryState, Fact, Outcome, group_copies, state_of_recipient

_ACCEPTED = CODE_OF_OUTCOME[Outcome.ACCEPTED]


class Part(NamedTuple):
    """What the state of a recipient needs of one attempt at one segment; `outcome` and `receipt` are codes.

    `covers` says that one receipt of the account speaks for all parts of a message.
    """

    attempt: int
    submitted_at: datetime | None
    segment: int
    segments: int
    outcome: int
    receipt: int | None
    account: int | None
    covers: bool | None


def state_of_parts(parts: Sequence[Part]) -> DeliveryState:
    """The state of one recipient from the set of its attempts, in any order, with any repetition."""
    return state_of_recipient(_facts_of(parts, spread_receipts(parts)))


def spread_receipts(parts: Sequence[Part]) -> list[int | None]:
    """The receipt that counts for each part: its own, or the best final one of its copy.

    Only where the account sends one receipt for all parts, and only for accepted parts without a final receipt of
    their own.
    """
    receipts = [part.receipt for part in parts]
    if not any(part.covers for part in parts):
        return receipts
    for copy in group_copies(_facts_of(parts, receipts)):
        covered = [place for place in copy if parts[place].covers and parts[place].submitted_at is not None]
        final = [
            code for place in covered if (code := parts[place].receipt) in FINAL_RECEIPT_CODES and code is not None
        ]
        if not final:
            continue
        for place in covered:
            if parts[place].outcome == _ACCEPTED and receipts[place] not in FINAL_RECEIPT_CODES:
                receipts[place] = max(final)
    return receipts


def _facts_of(parts: Sequence[Part], receipts: Iterable[int | None]) -> list[Fact]:
    return [
        Fact(*part[:4], STATE_OF_CODES[part.outcome, receipt], part.account, part.outcome == _ACCEPTED)
        for part, receipt in zip(parts, receipts, strict=True)
    ]
