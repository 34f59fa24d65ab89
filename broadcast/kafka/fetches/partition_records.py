"""Fetched record batches, read to their end whatever is in them.

Kafka takes any bytes as the key of a header. aiokafka 0.14 reads it as UTF-8 and raises an error at the first that is
not, at every fetch again, so that one such record would stop whoever reads its partition for good.

Kafka bounds the size of a batch as it is sent, and aiokafka decompresses all of it. So a batch that becomes
larger than `BATCH_BYTES_MAX` is not decompressed: one record in its place says so. No stage can read that one, and each
makes a dead letter of it.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, SupportsIndex

import structlog
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy

from broadcast.kafka.fetches.batch_size import size_within

log = structlog.get_logger(__name__)

BATCH_BYTES_MAX: Final = 8 << 20
"""Of a batch after decompression: eight times what Kafka takes by default. Our own have half a megabyte."""

FETCH_BYTES_MAX: Final = 32 << 20
"""Of what one fetch gives, each batch as large as it may become; the rest is fetched again."""

_LENGTH_AT: Final = 8
_LENGTH_END: Final = 12
_HEADER_BYTES: Final = 61
"""Of a record batch of version 2 (Kafka protocol, record batch), the only one that brokers of now write."""


@dataclass(frozen=True, slots=True)
class UnreadRecord:
    """Stands in the place of a batch that was not read."""

    offset: int
    timestamp: int
    timestamp_type: int
    value: bytes
    key: None = None
    checksum: None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class UnreadBatch:
    """A batch that is too large to be read. It gives one record, with the last offset of the batch."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[UnreadRecord]:
        batch = self._batch
        first, last = batch.base_offset, batch.next_offset - 1
        log.error("batch_refused", first_offset=first, last_offset=last, bytes_max=BATCH_BYTES_MAX)
        value = (
            f"The batch of offsets {first} to {last} of this partition was not read: it has more than {BATCH_BYTES_MAX}"
            " bytes after decompression, or cannot be decompressed. Write its records again in smaller batches."
        )
        yield UnreadRecord(last, batch.max_timestamp, batch.timestamp_type, value.encode())


class _Bounds:
    """Walks through the bytes of a fetch beside its batches, and says which of them may be read.

    Batches before the offset `since` take no room: nothing of them is given out.
    """

    def __init__(self, data: bytes, since: int = 0) -> None:
        self.data = data
        self.room = FETCH_BYTES_MAX
        self._at = 0
        self._since = since

    def admit(self, batch: Any) -> bool:
        """Whether the next batch, which is this one, may be decompressed."""
        begin, data = self._at, self.data
        end = begin + _LENGTH_END + int.from_bytes(data[begin + _LENGTH_AT : begin + _LENGTH_END], "big")
        self._at = end
        if batch.next_offset <= self._since:
            return True
        compression = batch.compression_type
        size = size_within(compression, memoryview(data)[begin + _HEADER_BYTES : end], BATCH_BYTES_MAX)
        self.room -= BATCH_BYTES_MAX if size is None else size
        return size is not None


class FetchedRecords(MemoryRecords):
    """The batches of one fetch, as far as there is room, with the bytes that they came from."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.bounds = _Bounds(data)

    def has_next(self) -> bool:
        """Whether there is another batch, and room for it."""
        return self.bounds.room > 0 and bool(super().has_next())

    def next_batch(self) -> Any:
        """The next batch, or what stands for it."""
        batch = super().next_batch()
        return batch if batch is None or self.bounds.admit(batch) else UnreadBatch(batch)


class PartitionRecords(fetcher.PartitionRecords):
    """The records of one fetch and partition; a header's key that is not UTF-8 has `\\x` escapes."""

    _records_iterator: Iterator[Any] | None

    def __init__(self, tp: Any, records: Any, aborted: Any, fetch_offset: int, *settings: Any) -> None:
        super().__init__(tp, records, aborted, fetch_offset, *settings)
        self._again = (tp, records, list(aborted or ()), settings)

    def __next__(self) -> Any:
        try:
            return next(self._records_iterator)  # type: ignore[arg-type]  # None only after its end
        except StopIteration:
            self._records_iterator = None
            raise
        except UnicodeDecodeError:
            tp, records, aborted, settings = self._again
            if isinstance(records, _LenientRecords):
                raise
            since = self.next_fetch_offset
            self.__init__(tp, _LenientRecords(records.bounds.data, since), aborted, since, *settings)  # type: ignore[misc]
            # From the record that could not be read on: those before it have been given out. aiokafka itself leaves out
            # only those in the first batch of a fetch.
            self._records_iterator = (record for record in self._records_iterator or () if record.offset >= since)
            return next(self)


class _LenientBytes(bytearray):
    """Bytes that decode without an error."""

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        found = super().__getitem__(key)
        return found if isinstance(found, int) else _LenientBytes(found)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - bytearray's form
        return super().decode(encoding, "backslashreplace")


class _LenientBatch(_DefaultRecordBatchPy):
    _buffer: bytearray

    def __iter__(self) -> Iterator[Any]:
        super().__iter__()
        self._buffer = _LenientBytes(self._buffer)
        return self


class _LenientRecords(_MemoryRecordsPy):
    def __init__(self, data: bytes, since: int) -> None:
        super().__init__(data)
        self.bounds = _Bounds(data, since)

    def has_next(self) -> bool:
        return self.bounds.room > 0 and bool(super().has_next())

    def next_batch(self) -> Any:
        """The next batch; formats before version 2 have no headers, and stay as they are."""
        data = self._next_slice
        batch = super().next_batch()
        if data is None or batch is None:
            return batch
        if not self.bounds.admit(batch):
            return UnreadBatch(batch)
        return _LenientBatch(data) if data[self.MAGIC_OFFSET] >= 2 else batch


def read_safely() -> None:
    """Have every consumer of this process, Faust's too, read header keys that are not UTF-8, and no batch too large."""
    module = sys.modules[fetcher.__name__]
    module.MemoryRecords = FetchedRecords  # type: ignore[attr-defined]
    module.PartitionRecords = PartitionRecords  # type: ignore[attr-defined]
