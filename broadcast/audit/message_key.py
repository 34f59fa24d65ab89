"""The key by which a receipt finds its attempt."""

from functools import lru_cache
from hashlib import blake2b


@lru_cache(maxsize=1024)
def _seed(account: str) -> "blake2b":
    return blake2b(account.encode() + b"\0", digest_size=8)


def message_key(account: str, message_id: str) -> int:
    """Signed 64-bit hash of an account's name and a message id, normalised by the account's rule.

    Two messages may share a key (by chance, or because an SMSC used an id again): who joins by it also compares
    the hash of the number and the instant of the submit.
    """
    digest = _seed(account).copy()
    digest.update(message_id.encode())
    return int.from_bytes(digest.digest(), "big", signed=True)
