"""Fetched record batches, read to their end whatever the keys of their headers are.

Kafka takes any bytes as the key of a header. aiokafka 0.14 reads it as UTF-8 and raises an error at the first that is
not, at every fetch again, so that one such record would stop whoever reads its partition for good.
"""

import sys
from collections.abc import Iterator
from typing import Any, SupportsIndex

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy


class FetchedRecords(MemoryRecords):
    """The batches of one fetch, with the bytes that they came from."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


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
            # From the record that could not be read on; those before it have been given out.
            self.__init__(tp, _LenientRecords(records.data), aborted, self.next_fetch_offset, *settings)  # type: ignore[misc]
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
    def next_batch(self) -> Any:
        """The next batch; formats before version 2 have no headers, and stay as they are."""
        data = self._next_slice
        batch = super().next_batch()
        return _LenientBatch(data) if data is not None and data[self.MAGIC_OFFSET] >= 2 else batch


def read_any_header() -> None:
    """Have every consumer of this process, Faust's too, read header keys that are not UTF-8."""
    module = sys.modules[fetcher.__name__]
    module.MemoryRecords = FetchedRecords  # type: ignore[attr-defined]
    module.PartitionRecords = PartitionRecords  # type: ignore[attr-defined]
