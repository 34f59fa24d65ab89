"""How large a compressed record batch becomes, found without decompressing it where that is possible. Pure.

`max.message.bytes` of a topic bounds a batch as it is sent. A megabyte of zstd may be gigabytes of records.
"""

import struct
from collections.abc import Callable
from typing import Final

import cramjam

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
"""The compression of a batch: the low three bits of its attributes (Kafka protocol, record batch)."""

GZIP_RATIO: Final = 1_032
"""No deflated data becomes larger than so many times its size."""

LZ4_BLOCK_BYTES: Final = {4: 64 << 10, 5: 256 << 10, 6: 1 << 20, 7: 4 << 20}
ZSTD_BLOCK_BYTES: Final = 128 << 10
XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
XERIAL_HEADER_BYTES: Final = 16

_LZ4_MAGIC: Final = 0x184D2204
_ZSTD_MAGIC: Final = 0xFD2FB528
_RAW, _RLE, _COMPRESSED = range(3)

_int32 = struct.Struct("<I").unpack_from
_int32_of_java = struct.Struct(">i").unpack_from


def size_within(compression: int, data: memoryview, limit: int) -> int | None:
    """At most so many bytes the decompressed data has; None if that may be more than `limit`.

    None as well for what cannot be decompressed. Takes at most `limit` bytes of memory.
    """
    if compression == NONE:
        return len(data)
    if compression not in _BOUNDS:
        return None
    try:
        bound = _BOUNDS[compression](data)
        if bound <= limit:
            return bound
    except (struct.error, IndexError, KeyError, ValueError):
        pass  # a form that is not usual: only decompressing it tells
    return None if compression == SNAPPY else _decompressed_size(compression, data, limit)


def _decompressed_size(compression: int, data: memoryview, limit: int) -> int | None:
    codec = {GZIP: cramjam.gzip, LZ4: cramjam.lz4, ZSTD: cramjam.zstd}[compression]
    try:
        return int(codec.decompress_into(bytes(data), bytearray(limit)))
    except cramjam.DecompressionError:
        return None


def _bound_gzip(data: memoryview) -> int:
    return len(data) * GZIP_RATIO


def _bound_lz4(data: memoryview) -> int:
    """At most so many bytes, by the blocks of one frame (LZ4 frame format 1.6)."""
    if _int32(data)[0] != _LZ4_MAGIC:
        raise ValueError("is no LZ4 frame")
    flags, block_bytes = data[4], LZ4_BLOCK_BYTES[data[5] >> 4 & 7]
    checksum = 4 if flags & 0x10 else 0
    at = 7 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
    bound = 0
    while size := _int32(data, at)[0] & 0x7FFFFFFF:
        at += 4 + size + checksum
        bound += block_bytes
    end = at + 4 + (4 if flags & 0x04 else 0)
    if end < len(data):
        raise ValueError("has more than one LZ4 frame")
    return bound


def _bound_zstd(data: memoryview) -> int:
    """At most so many bytes, by the blocks of one frame (RFC 8878, section 3.1.1)."""
    if _int32(data)[0] != _ZSTD_MAGIC:
        raise ValueError("is no Zstandard frame")
    descriptor = data[4]
    single = descriptor >> 5 & 1
    at = 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3] + (single, 2, 4, 8)[descriptor >> 6]
    bound, last = 0, 0
    while not last:
        header = data[at] | data[at + 1] << 8 | data[at + 2] << 16
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        bound += ZSTD_BLOCK_BYTES if kind == _COMPRESSED else size
        at += 3 + (1 if kind == _RLE else size)
    if at + (4 if descriptor & 4 else 0) < len(data):
        raise ValueError("has more than one Zstandard frame")
    return bound


def _bound_snappy(data: memoryview) -> int:
    """So many bytes, by the length that stands before each block; one block, or several with a header of xerial."""
    if bytes(data[: len(XERIAL_MAGIC)]) != XERIAL_MAGIC:
        return _snappy_length(data)
    at, bound = XERIAL_HEADER_BYTES, 0
    while at < len(data):
        size = _int32_of_java(data, at)[0]
        if size <= 0:
            raise ValueError("has a block without a length")
        bound += _snappy_length(data[at + 4 : at + 4 + size])
        at += 4 + size
    return bound


def _snappy_length(block: memoryview) -> int:
    length = 0
    for place in range(5):
        length |= (block[place] & 0x7F) << 7 * place
        if block[place] < 0x80:
            return length
    raise ValueError("has no length")


_BOUNDS: Final[dict[int, Callable[[memoryview], int]]] = {
    GZIP: _bound_gzip,
    SNAPPY: _bound_snappy,
    LZ4: _bound_lz4,
    ZSTD: _bound_zstd,
}
