"""Phone numbers as keyed hashes: proof that survives erasure, without the number."""

from hashlib import blake2b


def number_hash(key: bytes, msisdn: bytes) -> int:
    """The signed 64-bit keyed hash of a number given as digits, with or without its plus sign."""
    return int.from_bytes(blake2b(msisdn.lstrip(b"+"), digest_size=8, key=key).digest(), "big", signed=True)
