"""Receipts that no attempt is known for, by account: how many, since when, and which id rule would match them."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import asyncpg
import msgspec

from broadcast.audit.codes import CODE_OF_OUTCOME, LOWEST_FINAL_RECEIPT
from broadcast.audit.evidence.chain import RawRecord
from broadcast.audit.evidence.segments import read_records
from broadcast.audit.message_key import message_key
from broadcast.audit.receipt_owner import LONGEST_WAIT, REUSED_AFTER, same_number
from broadcast.audit.receipts.id_rules import IdRule, SeenId, count_matches, read_rule
from broadcast.clock import instant_of
from broadcast.database import Connection
from broadcast.kafka.batches import UNREADABLE
from schemas.receipt import Receipt
from schemas.status import Outcome, Status

T = TypeVar("T")

SAMPLE: Final = 500
"""Receipts of one account that are looked at, the newest."""

SEGMENTS: Final = 10
"""Evidence segments of each topic that are read for one account: they hold up to 8,000 records each."""

ENOUGH_SHARE: Final = 0.5
"""Of the receipts looked at, that a rule must match to be named as the one to set."""

ANSWER_MAY_COME: Final = timedelta(minutes=1)
"""A receipt that waits for its submit's answer finds it within this time."""

PARTS_SETTLED: Final = timedelta(minutes=10)
"""After this time the receipts of the other parts of a message have come, if there are any."""

PARTS_ENOUGH: Final = 20

NAMES_NO_ATTEMPT: Final = f"""
    NOT EXISTS (SELECT FROM attempts a
        WHERE a.message_key = p.message_key AND {same_number("a", "p.number_hash")} OFFSET 0)
"""
"""A receipt that came again when its attempt had one long before is parked too, and says nothing about the rule."""

_ACCOUNTS = f"""
SELECT p.account, n.name, count(*) FILTER (WHERE p.parked_at > $3) AS count,
    count(*) FILTER (WHERE p.parked_at <= $3) AS given_up, min(p.received_at) AS oldest, max(p.received_at) AS newest
FROM parked_receipts p JOIN accounts n ON n.id = p.account
WHERE p.parked_at < $1 AND ($2::text IS NULL OR n.name = $2) AND {NAMES_NO_ATTEMPT} GROUP BY 1, 2 ORDER BY 2
"""

_SAMPLE = f"""
SELECT message_key, number_hash, evidence_id FROM parked_receipts p
WHERE account = $1 AND parked_at BETWEEN $4 AND $2 AND {NAMES_NO_ATTEMPT} ORDER BY received_at DESC LIMIT $3
"""

_NEWEST_SEGMENTS = f"SELECT id FROM evidence WHERE topic LIKE '%receipts.v1' ORDER BY id DESC LIMIT {SEGMENTS}"

_ACCEPTED = f"""
SELECT evidence_id, count(*) AS count FROM attempts
WHERE account = $1 AND outcome = {CODE_OF_OUTCOME[Outcome.ACCEPTED]} AND receipt_state IS NULL
    AND number_hash = ANY ($2::bigint[]) AND submitted_at > $3::timestamptz - $5::interval AND submitted_at < $4
GROUP BY 1 ORDER BY 2 DESC, 1 DESC LIMIT {SEGMENTS}
"""

_PARTS = f"""
SELECT count(*) AS messages, count(*) FILTER (WHERE receipts = 1) AS with_one FROM (
    SELECT count(*) FILTER (WHERE receipt_state >= {LOWEST_FINAL_RECEIPT}) AS receipts
    FROM attempts
    WHERE account = $1 AND segments > 1 AND receipt_covers_message IS NULL
        AND outcome = {CODE_OF_OUTCOME[Outcome.ACCEPTED]}
        AND submitted_at BETWEEN $2::timestamptz - interval '{REUSED_AFTER}' AND $2
    GROUP BY alert_id, recipient_id HAVING count(*) = max(segments) AND count(DISTINCT segment) = max(segments)
) messages WHERE receipts > 0
"""
"""Messages of which this account took each part once: its parts may have several instants, and several attempts."""

_decode_receipt = msgspec.json.Decoder(Receipt).decode
_decode_status = msgspec.json.Decoder(Status).decode


@dataclass(frozen=True, slots=True)
class Unmatched:
    """The receipts of one account that have met no attempt for a minute.

    `count` are those that may still meet one, `given_up` those that are too old for that, of all since `oldest`.
    Of the newest, `sampled` were looked at: those that were read with the same id rule, `current`. `rules` says how
    many of them each other rule would match. `in_force` is the rule of the account's newest receipt. Of `messages` of
    several parts with a receipt, `with_one_receipt` have it for one part only.
    """

    account: str
    count: int
    given_up: int
    oldest: datetime
    newest: datetime
    sampled: int
    current: IdRule
    in_force: IdRule
    rules: list[tuple[IdRule, int]]
    messages: int
    with_one_receipt: int

    @property
    def fitting(self) -> list[IdRule]:
        """The rules that match most of what was looked at, and equally many."""
        if not self.rules or self.rules[0][1] < ENOUGH_SHARE * self.sampled:
            return []
        return [rule for rule, count in self.rules if count == self.rules[0][1]]

    @property
    def advice(self) -> str:
        """What to do, in words."""
        lines = []
        fitting = self.fitting
        looked = f"of the newest {self.sampled:,} looked at"
        if not self.count:
            pass
        elif self.in_force != self.current:
            lines.append(
                f"they were read with {self.current.name}, and {self.in_force.name} is in force now: they stay "
                "unmatched, and what comes from now on is read by the new rule"
            )
        elif fitting:
            lines.append(
                f"{looked} none matched with {self.current.name}, {self.rules[0][1]:,} would with {fitting[0].name}: "
                f"write {fitting[0].fields} into account {self.account} of the routes file"
            )
            if self.current != IdRule(fitting[0].rule) and len(fitting) > 1 and self.current.name != "as_is":
                others = ", ".join(rule.name for rule in fitting[1:])
                lines.append(f"the ids also fit {others}: if the rule does not help, set as_is and look again")
        else:
            lines.append(
                f"{looked} no id rule would match half: look whether another system uses this account, and whether a "
                "sender was killed before it wrote down what it had sent"
            )
        if self.one_receipt_for_all:
            lines.append(
                f"of {self.messages} messages with several parts {self.with_one_receipt} have a receipt for one part "
                f'only: if this SMSC sends one receipt for all parts, write receipt_covers = "message"'
            )
        if self.given_up:
            lines.append(
                f"{self.given_up:,} came more than {REUSED_AFTER} ago, and no attempt can have them any more: "
                "nothing is to be done"
            )
        return "; ".join(lines)

    @property
    def one_receipt_for_all(self) -> bool:
        """Whether nearly all messages of several parts have a receipt for one part only."""
        return self.messages >= PARTS_ENOUGH and self.with_one_receipt >= 0.8 * self.messages


async def find_unmatched(connection: Connection, now: datetime, account: str | None = None) -> list[Unmatched]:
    """What has been unmatched for a minute, of one account or of all, with the rules that would match it."""
    before = now - ANSWER_MAY_COME
    rows = await connection.fetch(_ACCOUNTS, before, account, now - LONGEST_WAIT)
    return [await _look_at(connection, now, row) for row in rows]


async def _look_at(connection: Connection, now: datetime, row: asyncpg.Record) -> Unmatched:
    number, name, count, given_up, oldest, newest = row
    sampled = await connection.fetch(_SAMPLE, number, now - ANSWER_MAY_COME, SAMPLE, now - LONGEST_WAIT)
    wanted = {(one["message_key"], one["number_hash"]) for one in sampled}
    hashes = {number_hash for _, number_hash in wanted}
    seen: dict[SeenId, Receipt] = {}
    in_segments = Counter(one["evidence_id"] for one in sampled)
    for segment, _ in in_segments.most_common(SEGMENTS):
        for receipt in _decoded(await read_records(connection, segment), _decode_receipt):
            if receipt.number_hash not in hashes:
                continue
            if (message_key(receipt.account, receipt.message_id), receipt.number_hash) in wanted:
                seen[SeenId(receipt.message_id, receipt.number_hash)] = receipt
    # What was read with an older rule says nothing about the one that is set.
    current = max(seen.values(), key=lambda one: one.received_at).id_rule if seen else ""
    receipts = [one for one, receipt in seen.items() if receipt.id_rule == current]
    accepted = await _accepted(connection, number, name, list(seen), _instant(oldest), _instant(newest))
    rules = count_matches(receipts, accepted, read_rule(current))
    # Ids that no rule has changed decide between rules that fit equally well.
    unchanged = [one for one, receipt in seen.items() if not receipt.id_rule]
    decided = dict(count_matches(unchanged, accepted, read_rule("")))
    rules.sort(key=lambda one: (-one[1], -decided.get(one[0], 0)))
    parts = await connection.fetchrow(_PARTS, number, now - PARTS_SETTLED)
    messages, with_one = tuple(parts) if parts is not None else (0, 0)
    return Unmatched(
        name,
        count,
        given_up,
        _instant(oldest),
        _instant(newest),
        len(receipts),
        read_rule(current),
        read_rule(await _rule_in_force(connection, name, current)),
        rules,
        messages,
        with_one,
    )


async def _rule_in_force(connection: Connection, name: str, known: str) -> str:
    """The rule with which the newest receipt of an account was read, matched or not; `known` if there is none."""
    for row in await connection.fetch(_NEWEST_SEGMENTS):
        receipts = _decoded(await read_records(connection, row["id"]), _decode_receipt)
        rules = [one.id_rule for one in receipts if one.account == name and one.raw is None]
        if rules:
            return rules[-1]
    return known


async def _accepted(  # noqa: PLR0917 (called once)
    connection: Connection, number: int, name: str, receipts: Sequence[SeenId], oldest: datetime, newest: datetime
) -> list[SeenId]:
    """Ids of accepted submits without a receipt to the same numbers."""
    hashes = {one.number_hash for one in receipts}
    found = []
    for row in await connection.fetch(_ACCEPTED, number, list(hashes), oldest, newest, LONGEST_WAIT):
        for status in _decoded(await read_records(connection, row["evidence_id"]), _decode_status):
            if status.number_hash in hashes and status.account == name and status.outcome is Outcome.ACCEPTED:
                found.append(SeenId(status.message_id, status.number_hash))
    return found


def _decoded(records: Iterable[RawRecord], decode: Callable[[bytes], T]) -> Iterable[T]:
    for record in records:
        try:
            yield decode(record.value or b"")
        except UNREADABLE:
            continue


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(instant_of(milliseconds) / 1000, UTC)
