"""API keys: made, listed and revoked in PostgreSQL; checked in memory, so that callers are known without it.

A key reads `tocsin_<id>.<secret>`. Only SHA-256 of the secret is stored. A slow hash such as argon2 protects words that
people choose, which can be guessed; this secret is 256 random bits, which cannot, so slowness would only be a way to
keep the API busy. The comparison takes constant time.
"""

import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import asyncpg

from broadcast.database import Connection
from broadcast.errors import BroadcastError, InputError

PREFIX = "tocsin_"
SECRET_BYTES = 32
ID_BYTES = 8
NAME_LENGTH_MAX = 100

_NAME = re.compile(r"[\w@][\w@. -]*")
_TOKEN = re.compile(rf"{PREFIX}[0-9a-f]{{{2 * ID_BYTES}}}\.[\w-]+", re.ASCII)


class KeyUnknownError(BroadcastError):
    """There is no active key of that name or id."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is stored, without its secret. `name` says who acts: it stands in the audit as the actor."""

    id: str
    name: str
    created_at: datetime
    revoked_at: datetime | None


async def create_key(connection: Connection, name: str) -> tuple[Key, str]:
    """Make a key; returns it and the token for its owner. The token is not kept and cannot be shown again.

    Raises InputError for a name that is empty, too long, or that an active key has.
    """
    name = name.strip()
    if not _NAME.fullmatch(name) or len(name) > NAME_LENGTH_MAX:
        raise InputError(
            f"key name {name!r}: must be 1 to {NAME_LENGTH_MAX} letters, digits, spaces or any of @._-", ()
        )
    key_id = PREFIX + secrets.token_hex(ID_BYTES)
    secret = secrets.token_urlsafe(SECRET_BYTES)
    try:
        row = await connection.fetchrow(
            "INSERT INTO api_keys (id, name, hash) VALUES ($1, $2, $3) RETURNING id, name, created_at, revoked_at",
            key_id,
            name,
            _hash(secret),
        )
    except asyncpg.UniqueViolationError:
        raise InputError(f"key name {name!r}: an active key has it; revoke that one, or choose another name") from None
    assert row is not None  # noqa: S101 (RETURNING of one inserted row)
    return Key(**row), f"{key_id}.{secret}"


async def list_keys(connection: Connection) -> list[Key]:
    """Every key, revoked ones too, oldest first."""
    rows = await connection.fetch("SELECT id, name, created_at, revoked_at FROM api_keys ORDER BY created_at, id")
    return [Key(**row) for row in rows]


async def revoke_key(connection: Connection, name_or_id: str) -> Key:
    """Revoke the active key of that name or id; the API follows within its refresh. Raises KeyUnknownError."""
    row = await connection.fetchrow(
        """
        UPDATE api_keys SET revoked_at = now() WHERE (id = $1 OR name = $1) AND revoked_at IS NULL
        RETURNING id, name, created_at, revoked_at
        """,
        name_or_id,
    )
    if row is None:
        raise KeyUnknownError(f"no active key has the name or id {name_or_id!r}; see `broadcast keys list`")
    return Key(**row)


async def read_hashes(connection: Connection) -> dict[str, tuple[str, bytes]]:
    """(name, hash) of every active key by its id."""
    rows: Sequence[asyncpg.Record] = await connection.fetch(
        "SELECT id, name, hash FROM api_keys WHERE revoked_at IS NULL"
    )
    return {row["id"]: (row["name"], row["hash"]) for row in rows}


def is_token(text: str) -> bool:
    """True if a text has the form of a key; whether there is such a key is not looked up."""
    return _TOKEN.fullmatch(text) is not None


class Keyring:
    """The active keys in memory. `loaded` is false until the first `replace`."""

    def __init__(self) -> None:
        self.loaded = False
        self._hashes: Mapping[str, tuple[str, bytes]] = {}

    def replace(self, hashes: Mapping[str, tuple[str, bytes]]) -> None:
        """Replace the active keys."""
        self._hashes = hashes
        self.loaded = True

    def knows(self, token: str) -> bool:
        """True if the id of a token is that of an active key; its secret is not checked."""
        return token.partition(".")[0] in self._hashes

    def owner_of(self, token: str) -> str | None:
        """The name of the key that a token is, or None."""
        key_id, _, secret = token.partition(".")
        name, stored = self._hashes.get(key_id, (None, b"\0" * 32))
        right = hmac.compare_digest(stored, _hash(secret))
        return name if right else None


def _hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
