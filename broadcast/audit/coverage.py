"""Receipts that speak for all parts of a message, where an account sends one for all of them. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from broadcast.audit.codes import CODE_OF_OUTCOME, FINAL_RECEIPT_CODES, STATE_OF_CODES
from schemas.status import DeliveryState, Outcome, state_of_recipient

_ACCEPTED = CODE_OF_OUTCOME[Outcome.ACCEPTED]


class Part(NamedTuple):
    """What the state of a recipient needs of one attempt at one segment; `outcome` and `receipt` are codes.

    `covering` is the account, where one receipt of it speaks for all parts of a message; else None.
    """

    attempt: int
    submitted_at: datetime | None
    segment: int
    segments: int
    outcome: int
    receipt: int | None
    covering: int | None


def state_of_parts(parts: Sequence[Part]) -> DeliveryState:
    """The state of one recipient from the set of its attempts, in any order, with any repetition."""
    return state_of_recipient(
        (part.attempt, part.submitted_at, part.segment, part.segments, STATE_OF_CODES[part.outcome, receipt])
        for part, receipt in zip(parts, spread_receipts(parts), strict=True)
    )


def spread_receipts(parts: Sequence[Part]) -> list[int | None]:
    """The receipt that counts for each part: its own, or the best final one of its copy.

    Only where the account sends one receipt for all parts, and only for accepted parts without a final receipt of
    their own.
    """
    receipts = [part.receipt for part in parts]
    if not any(part.covering is not None for part in parts):
        return receipts
    for copy in _copies(parts):
        final = [code for place in copy if (code := parts[place].receipt) is not None and code in FINAL_RECEIPT_CODES]
        if not final:
            continue
        for place in copy:
            if parts[place].outcome == _ACCEPTED and receipts[place] not in FINAL_RECEIPT_CODES:
                receipts[place] = max(final)
    return receipts


def _copies(parts: Sequence[Part]) -> list[list[int]]:
    """Places of the parts that went out as one copy.

    Those of one attempt by one account; and after them what was left of the copy, by the same account.
    """
    attempts: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, part in enumerate(parts):
        if part.covering is not None and part.submitted_at is not None:
            attempts[part.attempt, part.covering].append(place)
    copies: dict[int, list[list[int]]] = defaultdict(list)
    for key in sorted(attempts):
        of_account = copies[key[1]]
        for places in _by_sender(parts, attempts[key]):
            segments = {parts[place].segment for place in places}
            is_rest = len(segments) < max(parts[place].segments for place in places)
            if of_account and is_rest and not segments & _accepted(parts, of_account[-1]):
                of_account[-1] += places
            else:
                of_account.append(places)
    return [copy for several in copies.values() for copy in several]


def _by_sender(parts: Sequence[Part], attempt: list[int]) -> list[list[int]]:
    """The parts of one attempt by who wrote them, oldest first: two senders if the first was killed.

    Then a segment is there twice, and the instants tell the copies apart. Else they say nothing: the parts of a copy
    may be written one after another.
    """
    submits = {(parts[place].segment, parts[place].submitted_at) for place in attempt}
    if len(submits) == len({segment for segment, _ in submits}):
        return [attempt]
    together: dict[datetime, list[int]] = defaultdict(list)
    for place in attempt:
        if (at := parts[place].submitted_at) is not None:
            together[at].append(place)
    return [together[at] for at in sorted(together)]


def _accepted(parts: Sequence[Part], places: Sequence[int]) -> set[int]:
    return {parts[place].segment for place in places if parts[place].outcome == _ACCEPTED}
