"""Mutated SMPP frames through everything that reads what an SMSC sends: no exception may escape, no memory may grow."""

import asyncio
import gc
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import psutil

from broadcast.smpp.codec.bind import BindRequest, encode_bind, parse_bind, parse_bind_response
from broadcast.smpp.codec.errors import PduError
from broadcast.smpp.codec.message import Delivery, ShortMessage, encode_message, parse_message
from broadcast.smpp.codec.message_ids import MessageIdRule, normalise_receipt_ids, normalise_response_ids
from broadcast.smpp.codec.pdu import HEADER_LENGTH, encode_pdu
from broadcast.smpp.codec.reader import Batch, Reader
from broadcast.smpp.codec.receipt_dates import seconds_between
from broadcast.smpp.codec.receipt_text import Unclassified
from broadcast.smpp.codec.receipts import is_phone_message, parse_receipt
from broadcast.smpp.codec.tlv import encode_tlvs, parse_tlvs
from tests.support.smpp import SessionInMemory

FRAMES_IN_CHUNK: Final = 20
WARM_UP_SHARE: Final = 0.1
"""Caches are filled in this share of the frames; memory is compared with what it is then."""
GROWTH_LIMIT_BYTES: Final = 32 << 20

RECEIPT: Final = (
    b"id:0123456789 sub:001 dlvrd:001 submit date:2611271200 done date:2611271201 stat:DELIVRD err:000 text:Flood"
)
_MESSAGES: Final = (
    ShortMessage(source=b"4915112345678", destination=b"TOCSIN", esm_class=4, short_message=RECEIPT),
    ShortMessage(
        source=b"49", destination=b"T", esm_class=4, data_coding=8, short_message=RECEIPT.decode().encode("utf-16-be")
    ),
    ShortMessage(source=b"49", destination=b"T", short_message=b"4711,4915112345678,DELIVRD,000,20261127120000"),
    ShortMessage(
        source=b"4915112345678",
        destination=b"TOCSIN",
        esm_class=4,
        optional=encode_tlvs([(0x001E, b"812FC7470000001B\0"), (0x0427, b"\2"), (0x0423, b"\3\0\1"), (0x1403, b"?")]),
    ),
    ShortMessage(source=b"49", esm_class=4, optional=encode_tlvs([(0x0424, RECEIPT)])),
    ShortMessage(source=b"49", destination=b"112", esm_class=0x40, short_message=b"\5\0\3\7\2\1help"),
    ShortMessage(
        service_type=b"CMT",
        source=b"49",
        destination=b"112",
        schedule_delivery_time=b"261127120000000+",
        validity_period=b"000001000000000R",
        registered_delivery=1,
        short_message=b"x" * 140,
    ),
)
_DATA: Final = b"\0\1\x014915\0\5\0TOCSIN\0\x04\1\0" + encode_tlvs([(0x0424, RECEIPT)])
_BIND: Final = encode_bind(BindRequest(b"tocsin", b"secret", b"VMA", 0x34, 1, 1, b"^49.*"))
_IDS: Final = (
    b"4711",
    b"0123456789",
    b"812FC7470000001B",
    b"9" * 5_000,
    b"f" * 64,
    b"550e8400-e29b-41d4-a716-446655440000",
)

SEEDS: Final[Sequence[bytes]] = (
    *(encode_pdu(5, 0, 7, encode_message(each)) for each in _MESSAGES),
    encode_pdu(4, 0, 7, encode_message(_MESSAGES[-1])),
    encode_pdu(0x103, 0, 8, _DATA),
    *(encode_pdu(0x80000004, 0, number, each + b"\0") for number, each in enumerate(_IDS, 1)),
    encode_pdu(0x80000004, 0x58, 2),
    encode_pdu(0x80000004, 0, 3, b"4711\0" + encode_tlvs([(0x0428, b"\x55")])),
    encode_pdu(0x80000103, 0, 4, b"4711\0"),
    *(encode_pdu(command, 0, 1, _BIND) for command in (1, 2, 9)),
    *(encode_pdu(command, 0, 1, b"smsc\0" + encode_tlvs([(0x0210, b"\x34")])) for command in (0x80000001, 0x80000009)),
    *(encode_pdu(command, 0, 9) for command in (0x15, 0x80000015, 6, 0x80000006, 0x80000000)),
    encode_pdu(0x0B, 0, 1, b"smsc\0secret\0"),
    encode_pdu(0x102, 0, 1, b"\1\x014915\0\1\x01tocsin\0"),
    encode_pdu(0x80000003, 0, 1, b"4711\0\0\2\0"),
    encode_pdu(0x00010203, 0, 1, b"?"),
)
"""One good frame of each kind that an SMSC, or a client, may send."""

_TOKENS: Final = (
    b"\0", b"\xff", b"id:", b" stat:", b"DELIVRD", b" err:", b" text:", b"done date:", b"9" * 400, b"\x04\x24\xff\xff",
    b"\0\x1e\0\0", b"\x04\x27\0\1\xff", b"\xd8\0", b",", b":", b"\0id:", b" " * 60,
)  # fmt: skip


class Mutator:
    """Frames made of good ones, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random: Final = random.Random(seed)
        self._ways: Final[Sequence[Callable[[bytes], bytes]]] = (
            self._flip, self._cut, self._insert, self._join, self._repeat, self._replace_body, self._keep,
        )  # fmt: skip

    def frame(self) -> bytes:
        """One frame; nearly always with the right command_length, so that those after it are read."""
        chosen = self._random
        good = chosen.choice(SEEDS)
        head, body = bytearray(good[:HEADER_LENGTH]), good[HEADER_LENGTH:]
        for _ in range(chosen.randrange(1, 4)):
            body = chosen.choice(self._ways)(body)
        draw = chosen.random()
        if draw < 0.15:
            # Another command with this body, or a number that is no command.
            head[4:8] = chosen.choice(SEEDS)[4:8] if draw < 0.1 else chosen.randbytes(4)
        elif draw < 0.3:
            head[8:12] = chosen.randbytes(4)
        elif draw < 0.5:
            head[12:16] = chosen.randrange(0, 12).to_bytes(4, "big") if draw < 0.45 else chosen.randbytes(4)
        length = HEADER_LENGTH + len(body)
        if chosen.random() < 0.003:
            length = chosen.choice((0, 15, length - 1, length + 1, 1_000, 70_001, 0xFFFFFFFF))
        head[:4] = length.to_bytes(4, "big")
        return bytes(head) + body

    def cut(self, data: bytes) -> Iterator[bytes]:
        """The data in one piece, or in a few."""
        start = 0
        while start < len(data):
            stop = len(data) if self._random.random() < 0.6 else self._random.randrange(start, len(data)) + 1
            yield data[start:stop]
            start = stop

    def _place(self, body: bytes) -> int:
        return self._random.randrange(len(body) + 1)

    def _flip(self, body: bytes) -> bytes:
        changed = bytearray(body)
        for _ in range(self._random.randrange(1, 5) if body else 0):
            changed[self._random.randrange(len(changed))] = self._random.randrange(256)
        return bytes(changed)

    def _cut(self, body: bytes) -> bytes:
        start, stop = sorted((self._place(body), self._place(body)))
        return body[:start] + body[stop:]

    def _insert(self, body: bytes) -> bytes:
        place = self._place(body)
        return body[:place] + self._random.choice(_TOKENS) + body[place:]

    def _join(self, body: bytes) -> bytes:
        other = self._random.choice(SEEDS)[HEADER_LENGTH:]
        return body[: self._place(body)] + other[self._place(other) :]

    def _repeat(self, body: bytes) -> bytes:
        start, stop = sorted((self._place(body), self._place(body)))
        return (body[:stop] + body[start:stop] * self._random.randrange(1, 4) + body[stop:])[:60_000]

    def _replace_body(self, body: bytes) -> bytes:
        return self._random.randbytes(self._random.randrange(80)) if self._random.random() < 0.3 else body

    def _keep(self, body: bytes) -> bytes:
        return body


@dataclass(slots=True)
class Findings:
    """What a run fed and found. `escaped` are exceptions with the chunk that caused them, as hex."""

    frames: int = 0
    octets: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    escaped: list[tuple[str, str]] = field(default_factory=list)
    growth_bytes: int = 0


async def run(
    *, seed: int, frames: int, seconds: float, progress: Callable[[Findings], None] = lambda _: None
) -> Findings:
    """Feed so many mutated frames, at most so many seconds long; stops at the first exception that escapes."""
    mutator, reader, found = Mutator(seed), Reader(), Findings()
    memory = psutil.Process()
    warm = 0
    began = told = monotonic()
    while found.frames < frames and not found.escaped:
        chunk = b"".join([mutator.frame() for _ in range(min(FRAMES_IN_CHUNK, frames - found.frames))])
        try:
            for piece in mutator.cut(chunk):
                batch = reader.feed(piece)
                _read(batch, found.kinds)
                if batch.error is not None:
                    # The session would close the link; another begins.
                    found.kinds["impossible length"] += 1
                    reader = Reader()
            _feed_session(chunk)
        except Exception as error:
            found.escaped.append((repr(error), chunk.hex()))
        found.frames += min(FRAMES_IN_CHUNK, frames - found.frames)
        found.octets += len(chunk)
        # What a session asked of the loop.
        await asyncio.sleep(0)
        now = monotonic()
        found.seconds = now - began
        if not warm and found.frames >= frames * WARM_UP_SHARE:
            gc.collect()
            warm = memory.memory_info().rss
        if now - told >= 5:
            told = now
            progress(found)
        if found.seconds > seconds:
            break
    gc.collect()
    found.growth_bytes = memory.memory_info().rss - warm if warm else 0
    return found


def _read(batch: Batch, kinds: Counter[str]) -> None:
    for delivery in batch.deliveries:
        _read_delivery(delivery, kinds)
    for rule in MessageIdRule:
        normalise_response_ids(batch.ids, rule, 10)
        normalise_receipt_ids(batch.ids, rule)
    kinds["submit_sm_resp"] += len(batch.ids)
    for pdu in batch.others:
        kinds["others"] += 1
        with suppress(PduError):
            parse_bind(pdu.body)
        with suppress(PduError):
            parse_bind_response(pdu.body)
        with suppress(PduError):
            parse_message(pdu.body, 0, len(pdu.body))
        with suppress(PduError):
            parse_tlvs(pdu.body)


def _read_delivery(delivery: Delivery, kinds: Counter[str]) -> None:
    for unclassified in Unclassified:
        content = parse_receipt(delivery, unclassified)
        if content is not None:
            kinds["receipt"] += 1
            seconds_between(content.submitted, content.done)
            for rule in MessageIdRule:
                normalise_receipt_ids([content.message_id], rule)
    kinds["delivery"] += 1
    is_phone_message(delivery)
    with suppress(PduError):
        _ = delivery.text
    with suppress(PduError):
        _ = delivery.tlvs


def _feed_session(chunk: bytes) -> None:
    """What a bound session with submits in its window does with the same octets."""
    given = SessionInMemory()
    given.submit(4)
    given.session.data_received(chunk)
    given.pass_time(1.0)
    given.session.abort()
