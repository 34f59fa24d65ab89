"""Deliveries that nobody could read: part of the evidence, listed, and no receipt of anybody."""

import asyncpg
import msgspec
import pytest

from broadcast.audit import rebuild_check, verify
from broadcast.audit.receipts.unreadable import list_unreadable
from broadcast.errors import FencedError
from schemas.receipt import RawDelivery, Receipt, ReceiptState
from tests.support.recorder_without_kafka import RecorderWithoutKafka

T = 1_760_000_000_000


def unreadable(text: bytes, account: str = "sim") -> Receipt:
    raw = RawDelivery("names no message", 4, 8, text, b"\1\2", octets=len(text) + 2)
    return Receipt(account, "", ReceiptState.UNKNOWN, 7, received_at=T, raw=raw)


async def test_what_nobody_could_read_is_evidence_and_is_listed(
    recorder: RecorderWithoutKafka, connection: asyncpg.Connection
) -> None:
    good = Receipt("sim", "1", ReceiptState.DELIVERED, 7, received_at=T)
    recorded = await recorder.write(receipts=[unreadable(b"first"), good, unreadable(b"other", "north")])
    await recorder.write(receipts=[unreadable(b"last")])
    assert (recorded.receipts, recorded.parked) == (1, 1)
    found = await list_unreadable(connection)
    assert [(one.account, one.raw.text, one.offset) for one in found] == [
        ("sim", b"last", 4),
        ("north", b"other", 2),
        ("sim", b"first", 0),
    ]
    assert found[0].raw == unreadable(b"last").raw
    assert (found[0].topic, found[0].number_hash, found[0].received_at.timestamp()) == (
        *("broadcast.receipts.v1", 7, T / 1000),
    )
    assert [one.raw.text for one in await list_unreadable(connection, "sim", 1)] == [b"last"]
    rebuilt = await rebuild_check(connection)
    assert (rebuilt.faults, rebuilt.unreadable, rebuilt.parked) == ([], 3, 1)
    assert (await verify(connection)).faults == []


async def test_the_list_is_written_with_its_evidence_or_not_at_all(
    recorder: RecorderWithoutKafka, other_recorder: RecorderWithoutKafka, connection: asyncpg.Connection
) -> None:
    other_recorder.partition = 0
    await recorder.write(receipts=[unreadable(b"first")])
    with pytest.raises(FencedError):
        await other_recorder.write(receipts=[unreadable(b"again")])
    assert len(await list_unreadable(connection)) == 1


async def test_a_list_that_is_not_what_the_evidence_gives_is_a_fault(
    recorder: RecorderWithoutKafka, connection: asyncpg.Connection
) -> None:
    await recorder.write(receipts=[unreadable(b"first"), unreadable(b"second")])
    await connection.execute("UPDATE unreadable_deliveries SET record_offset = 9 WHERE record_offset = 1")
    faults = (await rebuild_check(connection)).faults
    assert [fault.split(": ", 1)[1] for fault in faults] == [
        "the unreadable delivery at offset 1 is not listed",
        "the unreadable delivery at offset 9 is listed and not there",
    ]


async def test_a_record_as_older_senders_wrote_it_is_a_receipt(
    recorder: RecorderWithoutKafka, connection: asyncpg.Connection
) -> None:
    old = msgspec.json.encode({"account": "sim", "message_id": "1", "state": "delivered", "received_at": T})
    assert (await recorder.write(receipts=[old])).receipts == 1
    row = await connection.fetchrow("SELECT n.name, by_text FROM parked_receipts p JOIN accounts n ON n.id = p.account")
    assert row is not None
    assert tuple(row) == ("sim", False)
