"""The crash that docs/recorder.md works through: the same offsets, chain, receipts and counters."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from broadcast.audit.attempts.batch import Batch
from broadcast.audit.attempts.receipts import MergedReceipt, ParkedCache
from broadcast.audit.attempts.rows import AttemptRows, add_statuses
from broadcast.audit.chunk_states.moves import add_up
from broadcast.audit.codes import CODE_OF_STATE, SUBMITTED
from broadcast.audit.evidence.chain import RawRecord
from broadcast.audit.evidence.segments import Position, Segment
from broadcast.audit.message_key import message_key
from schemas.receipt import Receipt, ReceiptState
from schemas.status import DeliveryState, Outcome, Status

PAGE = (Path(__file__).parents[3] / "docs/recorder.md").read_text(encoding="utf-8")
ALERT = "6f1c9f3e-3c0b-5a55-9b3d-0c2f6f3f7a10"
AUDIENCE = 10
ACCOUNT = "smsc"
DELIVERED = CODE_OF_STATE[DeliveryState.DELIVERED]


def statuses(first_offset: int, recipients: Iterable[int]) -> list[RawRecord]:
    return [
        RawRecord(
            offset,
            1_000,
            None,
            msgspec.json.encode(
                Status(
                    ALERT,
                    recipient,
                    1,
                    Outcome.ACCEPTED,
                    account=ACCOUNT,
                    message_id=f"m{recipient}",
                    number_hash=recipient,
                    submitted_at=900,
                    at=950,
                )
            ),
        )
        for offset, recipient in enumerate(recipients, first_offset)
    ]


def receipts(first_offset: int, messages: Iterable[int]) -> list[RawRecord]:
    return [
        RawRecord(
            offset,
            1_000,
            None,
            msgspec.json.encode(
                Receipt(ACCOUNT, f"m{message}", ReceiptState.DELIVERED, number_hash=message, received_at=990)
            ),
        )
        for offset, message in enumerate(messages, first_offset)
    ]


class Recorded:
    """What a batch would write: its segments, rows, counters, and the receipts that no status of it took."""

    def __init__(
        self,
        ends: tuple[Position, Position],
        read: tuple[Sequence[RawRecord], Sequence[RawRecord]],
        reached: tuple[int, int],
        parked: dict[int, MergedReceipt],
    ) -> None:
        batch = Batch()
        self.ends = (
            batch.add_statuses(1, ends[0], read[0], reached[0]),
            batch.add_receipts(2, ends[1], read[1], reached[1]),
        )
        self.segments: tuple[Segment, ...] = tuple(batch.segments)
        self.rows = AttemptRows()
        ((evidence_id, found),) = batch.statuses
        add_statuses(
            self.rows,
            found.values,
            found.timestamps,
            evidence_id,
            accounts={ACCOUNT: 1},
            receipts=batch.receipts,
            parked=parked,
            log_intact=True,
        )
        self.left_over = batch.receipts


def messages_of(found: Iterable[MergedReceipt]) -> set[str]:
    names = {message_key(ACCOUNT, f"m{number}"): f"m{number}" for number in range(1, AUDIENCE + 1)}
    return {names[receipt.message_key] for receipt in found}


def row_of(counters: Counter[int], ends: tuple[Position, Position], parked: str) -> list[str]:
    """The cells of the drawing."""
    delivered, submitted = counters[DELIVERED], counters[SUBMITTED]
    queued = AUDIENCE - delivered - submitted
    cells = (ends[0].offset, ends[1].offset, parked, delivered, submitted, queued, AUDIENCE)
    return [str(cell) for cell in cells]


def drawn() -> list[list[str]]:
    """The last seven cells of each line of the drawing."""
    return [line.split()[-7:] for line in PAGE[PAGE.index(" time     recorder") :].split("```")[0].splitlines()]


def counted(recorded: Recorded) -> Counter[int]:
    assert not recorded.rows.needs_recount
    return Counter({state: count for (_, state), count in add_up(recorded.rows.moves).items()})


START = (Position("statuses.v1", 0, offset=200), Position("receipts.v1", 0, offset=50))


def record_batch_1() -> Recorded:
    return Recorded(START, (statuses(200, range(1, 7)), receipts(50, (1, 2, 3, 8))), (207, 54), {})


def test_batch_1_joins_three_receipts_and_parks_one() -> None:
    assert row_of(Counter(), START, "-") in drawn()
    first = record_batch_1()
    assert messages_of(first.left_over.values()) == {"m8"}
    assert first.rows.count == 6
    assert row_of(counted(first), first.ends, "m8") in drawn()


def test_what_the_killed_batch_would_have_written() -> None:
    first = record_batch_1()
    memory = ParkedCache()
    memory.add(first.left_over.values())
    killed = Recorded(first.ends, (statuses(207, range(7, 11)), receipts(54, (4, 5))), (212, 56), memory.receipts)
    assert messages_of(killed.rows.joined_parked) == {"m8"}
    assert messages_of(killed.left_over.values()) == {"m4", "m5"}, "joined by UPDATE"
    assert killed.rows.count == 4


def test_the_restarted_recorder_continues_the_chain_and_the_sum_is_always_the_audience() -> None:
    first = record_batch_1()
    killed = Recorded(first.ends, (statuses(207, range(7, 11)), receipts(54, (4, 5))), (212, 56), {})
    again = Recorded(first.ends, (statuses(207, range(7, 11)), receipts(54, (4, 5, 9))), (212, 57), {})
    for before, after in zip(first.segments, again.segments, strict=True):
        assert (after.from_offset, after.previous) == (before.to_offset, before.digest)
    assert again.segments[0].digest == killed.segments[0].digest
    assert again.segments[1].digest != killed.segments[1].digest
    assert again.rows.joined_parked == [], "the memory is empty after a restart"
    assert messages_of(again.left_over.values()) == {"m4", "m5"}
    counters = counted(first) + counted(again)
    by_update = len(again.left_over)
    counters += Counter({DELIVERED: by_update})
    counters -= Counter({SUBMITTED: by_update})
    assert row_of(counters, again.ends, "m8") in drawn()
    counters += Counter({DELIVERED: 1})
    counters -= Counter({SUBMITTED: 1})
    assert row_of(counters, again.ends, "-") in drawn()


def test_a_position_is_where_the_segment_says() -> None:
    first = record_batch_1()
    assert replace(first.ends[0], digest=b"", last=None) == Position("statuses.v1", 0, 0, 207, b"", None)
    assert [segment.count for segment in first.segments] == [6, 4]
    assert first.ends[0].last is not None
    assert first.ends[0].last.offset == 205
    assert first.ends[1].last is not None
    assert first.ends[1].last.offset == 53
