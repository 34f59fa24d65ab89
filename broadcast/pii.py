"""Phone numbers as keyed hashes: proof that survives erasure, without the number."""

from collections.abc import Callable
from hashlib import blake2b
from struct import Struct

_unpack = Struct(">q").unpack


def number_hash(key: bytes, msisdn: bytes) -> int:
    """The signed 64-bit keyed hash of a number given as digits, with or without its plus sign."""
    return int.from_bytes(blake2b(msisdn.lstrip(b"+"), digest_size=8, key=key).digest(), "big", signed=True)


def number_hasher(key: bytes) -> Callable[[bytes], int]:
    """`number_hash` with its key set once: for many numbers it takes less than half the time."""
    seeded = blake2b(digest_size=8, key=key).copy

    def hash_number(msisdn: bytes) -> int:
        digest = seeded()
        digest.update(msisdn.lstrip(b"+"))
        number: int = _unpack(digest.digest())[0]
        return number

    return hash_number
