"""What an account delivered while submits had no answer: a receipt among it may be the only answer to one."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple, TypeAlias

from broadcast.sending.answers.tokens import Token
from broadcast.smpp.codec.message import Delivery, octets_of

BATCHES: Final = 64
"""Deliveries that came together are looked at once for so many of them: nothing is done for each receipt."""

DELIVERIES_LIMIT: Final = 5_000
"""Above so many only those from the numbers of unanswered submits are kept; if those are too many, none."""

OCTETS_LIMIT: Final = 8 * 1024 * 1024
"""Likewise for the octets of all deliveries, as `octets_of` counts them."""

Pending: TypeAlias = Callable[[], Iterable[Collection[Token]]]
"""Gives for each session the tokens of its unanswered submits, the oldest first."""


class Arrived(NamedTuple):
    """A delivery, and when it came in milliseconds since the epoch."""

    at: int
    delivery: Delivery


class EarlyReceipts:
    """Keeps what one account delivered since its oldest unanswered submit was written.

    Nobody knows the message id of such a submit, so a delivery is found by the number that it comes from.
    """

    def __init__(self, pending: Pending) -> None:
        self._followed = [pending]
        self._batches: Final[deque[tuple[int, Sequence[Delivery]]]] = deque()
        self._by_number: dict[str, list[Arrived]] = {}
        self._count = self._octets = self._batches_since = 0

    def follow(self, pending: Pending) -> None:
        """Take the unanswered submits of new sessions too; those before stay as long as they have any."""
        self._followed = [*(each for each in self._followed if any(each())), pending]

    def __len__(self) -> int:
        return self._count

    def keep(self, deliveries: Sequence[Delivery], at: int) -> None:
        """Keep deliveries that came together; `at` in milliseconds since the epoch."""
        self._batches.append((at, deliveries))
        self._count += len(deliveries)
        self._octets += octets_of(deliveries)
        self._batches_since += 1
        if self._batches_since >= BATCHES or self._is_full():
            self._drop_answered()

    def find(self, number: str) -> Sequence[Arrived]:
        """Deliveries from a number without its plus sign, in the order of their arrival."""
        self._index()
        return self._by_number.get(number, ())

    def _drop_answered(self) -> None:
        """Drop what came before all unanswered submits were written."""
        self._batches_since = 0
        oldest = min([next(iter(tokens))[0].at for tokens in self._unanswered() if tokens], default=None)
        if oldest is None:
            self._clear()
            return
        while self._batches and self._batches[0][0] < oldest:
            _, deliveries = self._batches.popleft()
            self._count -= len(deliveries)
            self._octets -= octets_of(deliveries)
        if self._is_full():
            self._drop_other_numbers()

    def _drop_other_numbers(self) -> None:
        self._index()
        numbers = {token[1].msisdn.lstrip("+") for tokens in self._unanswered() for token in tokens}
        self._by_number = {number: found for number, found in self._by_number.items() if number in numbers}
        kept = [arrived.delivery for found in self._by_number.values() for arrived in found]
        self._count, self._octets = len(kept), octets_of(kept)
        if self._is_full():
            self._clear()

    def _is_full(self) -> bool:
        return self._count >= DELIVERIES_LIMIT or self._octets >= OCTETS_LIMIT

    def _unanswered(self) -> Iterator[Collection[Token]]:
        return chain.from_iterable(pending() for pending in self._followed)

    def _index(self) -> None:
        for at, deliveries in self._batches:
            for delivery in deliveries:
                number = delivery.source.decode("latin-1").lstrip("+")
                self._by_number.setdefault(number, []).append(Arrived(at, delivery))
        self._batches.clear()

    def _clear(self) -> None:
        self._batches.clear()
        self._by_number.clear()
        self._count = self._octets = 0
