"""Who wants no messages: the keyed hash of the number, by which imports leave them out.

An erased person leaves nothing but this. The key is BROADCAST_NUMBER_HASH_KEY; hashes of another key match nobody, so
they are refused instead of being ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b

from broadcast.cells.spellings import all_spellings, other_spellings
from broadcast.database import Connection
from broadcast.errors import SettingsError
from broadcast.pii import number_hash

READ = "SELECT number_hash, key_check, wish, reason, at FROM exclusions"

ADD = """
INSERT INTO exclusions (number_hash, key_check, wish, reason) VALUES ($1, $2, $3, $4)
ON CONFLICT (number_hash) DO UPDATE SET wish = excluded.wish, reason = excluded.reason, at = now()
"""


class Wish(StrEnum):
    """What a person has asked for. Who is erased is not loaded; do_not_contact is loaded as suppressed."""

    ERASED = "erased"
    DO_NOT_CONTACT = "do_not_contact"


@dataclass(frozen=True, slots=True)
class Exclusion:
    """The wish of one person, why if they said so, and since when."""

    wish: Wish
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Exclusions:
    """All wishes by hash of the number."""

    key: bytes = b""
    by_hash: Mapping[int, Exclusion] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.by_hash)

    def of(self, msisdn: str) -> Exclusion | None:
        """The wish of who has this number (E.164); None for everybody else."""
        if not self.by_hash:
            return None
        wish = self.by_hash.get(number_hash(self.key, msisdn.encode()))
        if wish is None:
            hashes = [number_hash(self.key, each.encode()) for each in other_spellings(msisdn)]
            wish = next((self.by_hash[each] for each in hashes if each in self.by_hash), None)
        return wish


async def read_exclusions(connection: Connection, key: bytes | None) -> Exclusions:
    """All wishes; raises SettingsError if there are some and the key is not the one of their hashes."""
    rows = await connection.fetch(READ)
    if not rows:
        return Exclusions()
    if key is None:
        raise SettingsError(
            f"BROADCAST_NUMBER_HASH_KEY is not set, and {len(rows)} people have asked to be erased or left alone: "
            "without it they would be loaded again"
        )
    others = sum(row["key_check"] != _key_check(key) for row in rows)
    if others:
        raise SettingsError(
            f"BROADCAST_NUMBER_HASH_KEY is another key than the one by which {others} of {len(rows)} people are known "
            "who asked to be erased or left alone: they would be loaded again; set the key that was used then"
        )
    return Exclusions(key, {row["number_hash"]: Exclusion(Wish(row["wish"]), row["reason"], row["at"]) for row in rows})


async def hold_exclusions(connection: Connection) -> None:
    """Let nobody add or remove a wish until the end of the transaction."""
    await connection.execute("LOCK TABLE exclusions IN SHARE MODE")


async def hold_wishing(connection: Connection) -> None:
    """Have no import and no trial message begin until the end of the transaction; first wait for those that run.

    Waits for as long as a statement may wait for a lock. What is read after it is what stands: an import may have given
    a person another number meanwhile.
    """
    await connection.execute("LOCK TABLE exclusions IN ROW EXCLUSIVE MODE")


async def add_exclusion(connection: Connection, key: bytes, msisdn: str, wish: Wish, reason: str | None = None) -> None:
    """Keep the wish of who has this number."""
    await connection.execute(ADD, number_hash(key, msisdn.encode()), _key_check(key), wish, reason)


async def remove_exclusions(connection: Connection, key: bytes, msisdns: Sequence[str]) -> int:
    """Forget the wishes of who has one of these numbers, in any spelling; returns how many there were."""
    hashes = [number_hash(key, each.encode()) for msisdn in msisdns for each in all_spellings(msisdn)]
    tag = await connection.execute("DELETE FROM exclusions WHERE number_hash = ANY ($1::bigint[])", hashes)
    return int(tag.rsplit(" ", 1)[1])


def _key_check(key: bytes) -> bytes:
    """Eight octets by which a key is known again; the key cannot be told from them."""
    return blake2b(b"exclusions", digest_size=8, key=key).digest()
