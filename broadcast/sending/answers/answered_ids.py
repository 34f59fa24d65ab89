"""The message ids that an account answered lately: their receipts are of no submit without an answer."""

from collections import deque
from collections.abc import Sequence
from typing import Final

IDS_LIMIT: Final = 100_000
"""Ids of an account that are kept; the oldest are forgotten."""


class AnsweredIds:
    """The last ids by account. Answers that came together are kept as they came, and read only for a receipt."""

    def __init__(self) -> None:
        self._batches: Final[dict[str, deque[Sequence[bytes]]]] = {}
        self._counts: Final[dict[str, int]] = {}
        self._ids: Final[dict[str, dict[bytes, None]]] = {}

    def note(self, account: str, message_ids: Sequence[bytes]) -> None:
        """Ids of answers that came together; nothing is done for each of them."""
        batches = self._batches.setdefault(account, deque())
        batches.append(message_ids)
        count = self._counts.get(account, 0) + len(message_ids)
        while count - len(batches[0]) >= IDS_LIMIT:
            count -= len(batches.popleft())
        self._counts[account] = count

    def has(self, account: str, message_id: bytes) -> bool:
        """Whether an answer of this account had this id."""
        ids = self._ids.setdefault(account, {})
        batches = self._batches.get(account)
        while batches:
            ids.update(dict.fromkeys(batches.popleft()))
        self._counts[account] = 0
        while len(ids) > IDS_LIMIT:
            del ids[next(iter(ids))]
        return message_id in ids
