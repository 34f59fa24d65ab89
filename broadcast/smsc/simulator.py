"""The simulator without its ports: one state, and what works on it."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from broadcast.smpp.codec.message import ShortMessage
from broadcast.smsc.accounts import Accounts
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.link import Link
from broadcast.smsc.state import SmscState
from broadcast.smsc.submits import SubmitHandler


class PhoneMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message from a phone, in GSM letters that are ASCII; numbers without a plus sign."""

    source: str
    destination: str
    text: str


class Simulator:
    """An SMSC over all its connections; `system_id` and `password` None accept every bind.

    `now` is a monotonic clock in seconds.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        now: Callable[[], float],
        seed: int = 0,
        system_id: str | None = None,
        password: str | None = None,
        first_number: int = 1,
    ) -> None:
        self.state: Final = SmscState(behaviour, seed=seed, now=now)
        self._accounts: Final = Accounts(self.state, system_id, password)
        self._submits: Final = SubmitHandler(self.state, first_number)

    def make_link(self) -> Link:
        """The protocol of a new connection."""
        return Link(self.state, self._accounts, self._submits)

    def change_behaviour(self, behaviour: Behaviour) -> None:
        """Behave differently, and send what the old behaviour held back."""
        self.state.change_behaviour(behaviour)
        for connection in tuple(self.state.connections):
            connection.send_due_responses()
        self._accounts.send_due_receipts()

    def reset(self) -> None:
        """Start all counts again at 0 and drop the receipts that wait; binds stay, message numbers go on."""
        self.state.reset_counts()
        self._submits.forget_refusals()
        self._accounts.discard_receipts()

    def close_links(self) -> int:
        """Close all connections at once; returns how many there were."""
        connections = tuple(self.state.connections)
        for connection in connections:
            connection.close()
        return len(connections)

    def unbind_links(self) -> int:
        """Ask all clients to unbind; returns how many there are."""
        connections = tuple(self.state.connections)
        for connection in connections:
            connection.unbind()
        return len(connections)

    def send_phone_messages(self, messages: Sequence[PhoneMessage]) -> int:
        """Send messages from phones to any bind that receives; returns how many, 0 without such a bind."""
        connection = next((each for each in self.state.connections if each.receipt_room > 0), None)
        if connection is None or self.state.behaviour.silent:
            return 0
        for message in messages:
            connection.send_phone_message(
                ShortMessage(
                    source_ton=1,
                    source_npi=1,
                    source=message.source.encode("ascii"),
                    destination=message.destination.encode("ascii"),
                    short_message=message.text.encode("ascii"),
                )
            )
        self.state.metrics.messages_sent += len(messages)
        return len(messages)

    @property
    def binds_now(self) -> int:
        """Binds that stand at this moment."""
        return self._accounts.binds_now

    def describe(self) -> dict[str, object]:
        """The statistics, as GET /stats gives them."""
        state = self.state
        return {
            **msgspec.to_builtins(state.metrics),
            "binds_now": self.binds_now,
            "binds": [msgspec.to_builtins(bind) for bind in state.binds],
            "highest_unanswered": max((bind.highest_unanswered for bind in state.binds), default=0),
            "unique_destinations": state.submit_counts.unique_destinations,
            "duplicates": state.submit_counts.duplicates,
            "duplicate_destinations": state.submit_counts.repeats,
            "receipts_waiting": self._accounts.receipts_waiting,
        }
