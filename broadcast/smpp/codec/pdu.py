"""Headers, framing, and the PDUs without a body of their own (SMPP 3.4, 3.2, 4.2, 4.3, 4.11, 5.1)."""

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from broadcast.smpp.codec.command_status import RINVCMDLEN
from broadcast.smpp.codec.errors import FrameError, PduError

FIRST: Final = 1
LAST: Final = 0x7FFFFFFF


class SequenceCounter:
    """Counts from 1 to 0x7FFFFFFF and begins again at 1, without the numbers that are still in use."""

    __slots__ = ("_next", "_wrapped")

    def __init__(self, start: int = FIRST) -> None:
        if not FIRST <= start <= LAST:
            raise ValueError(f"start {start} is not within {FIRST} and {LAST}")
        self._next = start
        self._wrapped = start != FIRST

    def take(self, count: int, in_use: Callable[[int], bool]) -> Sequence[int]:
        """The next `count` numbers of which `in_use` says no.

        Before the first wrap nothing can be in use, so it is not asked.
        """
        start = self._next
        if not self._wrapped and start + count - 1 <= LAST:
            self._next = start + count
            if self._next > LAST:
                self._next, self._wrapped = FIRST, True
            return range(start, start + count)
        self._wrapped = True
        numbers: list[int] = []
        while len(numbers) < count:
            if not in_use(start):
                numbers.append(start)
            start = FIRST if start == LAST else start + 1
        self._next = start
        return numbers


GENERIC_NACK: Final = 0x80000000
BIND_RECEIVER: Final = 0x00000001
BIND_TRANSMITTER: Final = 0x00000002
SUBMIT_SM: Final = 0x00000004
DELIVER_SM: Final = 0x00000005
UNBIND: Final = 0x00000006
BIND_TRANSCEIVER: Final = 0x00000009
OUTBIND: Final = 0x0000000B
ENQUIRE_LINK: Final = 0x00000015
ALERT_NOTIFICATION: Final = 0x00000102
DATA_SM: Final = 0x00000103
RESPONSE: Final = 0x80000000
BIND_RECEIVER_RESP: Final = BIND_RECEIVER | RESPONSE
BIND_TRANSMITTER_RESP: Final = BIND_TRANSMITTER | RESPONSE
SUBMIT_SM_RESP: Final = SUBMIT_SM | RESPONSE
DELIVER_SM_RESP: Final = DELIVER_SM | RESPONSE
UNBIND_RESP: Final = UNBIND | RESPONSE
BIND_TRANSCEIVER_RESP: Final = BIND_TRANSCEIVER | RESPONSE
ENQUIRE_LINK_RESP: Final = ENQUIRE_LINK | RESPONSE
DATA_SM_RESP: Final = DATA_SM | RESPONSE

BINDS: Final = frozenset([BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER])
HEADER: Final = struct.Struct(">IIII")
HEADER_LENGTH: Final = 16
# The longest body that 3.4 allows is a 64 KiB message_payload with its mandatory fields.
PDU_CAP: Final = 70_000


class Pdu(NamedTuple):
    """One PDU: its header without the length, and the bytes of its body."""

    command: int
    status: int
    sequence: int
    body: bytes


def check_length(length: int, cap: int) -> None:
    """FrameError unless 16 <= command_length <= cap."""
    if length < HEADER_LENGTH or length > cap:
        raise FrameError(f"command_length {length} is not within {HEADER_LENGTH} and {cap}", RINVCMDLEN)


def encode_pdu(command: int, status: int, sequence: int, body: bytes = b"") -> bytes:
    """The PDU's bytes, length included."""
    return HEADER.pack(HEADER_LENGTH + len(body), command, status, sequence) + body


def read_cstring(data: bytes, offset: int, field: str, limit: int) -> tuple[bytes, int]:
    """The C-octet string at `offset`, without its NUL, and where the next field begins.

    PduError when it has no NUL within `limit` octets.
    """
    end = data.find(b"\0", offset, offset + limit)
    if end < 0:
        raise PduError(f"{field} has no NUL within {limit} octets", RINVCMDLEN)
    return data[offset:end], end + 1


def encode_acknowledgements(command: int, status: int, sequences: Sequence[int]) -> bytearray:
    """Many deliver_sm_resp or data_sm_resp in one piece; their message_id is empty (4.6.2)."""
    length = HEADER_LENGTH + 1
    block = bytearray(HEADER.pack(length, command, status, 0) + b"\0") * len(sequences)
    pack_into = _SEQUENCE.pack_into
    for offset, sequence in zip(range(12, len(block), length), sequences, strict=True):
        pack_into(block, offset, sequence)
    return block


_SEQUENCE: Final = struct.Struct(">I")
# command_length and command_id.
_KIND: Final = struct.Struct(">II")
FIRST_RUN: Final = 64
_LONGEST_RUN: Final = 4096
UNLIMITED: Final = 1 << 62
"""More PDUs than any buffer has."""


def iterate_runs(
    data: bytes,
    offset: int,
    length: int,
    layout: struct.Struct,
    command: int,
    *,
    most: int = UNLIMITED,
    first: int = FIRST_RUN,
) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
    """Columns of at most so many consecutive PDUs of one length and command: yields (count, columns) until their end.

    The first time they are at most `first`, then up to four times as many each time.
    `layout` unpacks one PDU and begins with the four header fields. struct and zip do the work for a whole run at once:
    a response then costs a tenth of what it costs in a loop over headers.
    """
    end = min(len(data), offset + most * length)
    view = memoryview(data)
    # A wrong guess costs no more than four times what was read before: else a buffer of mixed PDUs takes seconds.
    limit = first
    while (size := _guess_run(data, offset, length, min(limit, (end - offset) // length), command)) > 0:
        limit = min(limit * 4, _LONGEST_RUN)
        columns: list[tuple[Any, ...]] = list(
            zip(*layout.iter_unpack(view[offset : offset + size * length]), strict=True)
        )
        lengths, commands = columns[0], columns[1]
        if lengths.count(length) != size or commands.count(command) != size:
            # The guess met octets of another PDU that look like a header.
            size = next(i for i, each in enumerate(zip(lengths, commands, strict=True)) if each != (length, command))
            yield size, [column[:size] for column in columns]
            return
        yield size, columns
        offset += size * length


def _guess_run(data: bytes, offset: int, length: int, most: int, command: int) -> int:
    """How many PDUs from `offset` have this length and command, at most `most`. Looks at a few of them only."""
    kind = _KIND.pack(length, command)
    if most < 1 or not data.startswith(kind, offset):
        return 0
    if data.startswith(kind, offset + (most - 1) * length):
        return most
    # Doubled while it fits, then halved: `low` fits, `high` does not.
    low, high = 1, 2
    while high < most and data.startswith(kind, offset + (high - 1) * length):
        low, high = high, high * 2
    high = min(high, most)
    while high - low > 1:
        middle = (low + high) // 2
        if data.startswith(kind, offset + (middle - 1) * length):
            low = middle
        else:
            high = middle
    return low
