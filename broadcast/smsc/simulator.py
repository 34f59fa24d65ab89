"""The simulator without its ports: one state, and what works on it."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from broadcast.smpp.codec.message import ShortMessage
from broadcast.smsc.accounts import Account, Accounts
from broadcast.smsc.behaviour import Behaviour, BehaviourError
from broadcast.smsc.links.link import Link
from broadcast.smsc.profile.tables import Profile
from broadcast.smsc.state import Connection, SmscState
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
        profile: Profile | None = None,
    ) -> None:
        self.profile: Final = profile or Profile()
        self.state: Final = SmscState(
            behaviour,
            seed=seed if self.profile.seed is None else self.profile.seed,
            now=now,
            waits=self.profile.clock == "first_submit",
        )
        self._accounts: Final = Accounts(self.state, system_id, password, self.profile)
        self._submits: Final = SubmitHandler(self.state, first_number)
        self._asked: dict[str, object] = {}

    def make_link(self, port: str = "") -> Link:
        """The protocol of a new connection; `port` empty is the port of the process."""
        return Link(self.state, self._accounts, self._submits, port)

    def change_behaviour(self, behaviour: Behaviour) -> None:
        """Behave differently, whatever the profile says, and send what the old behaviour held back."""
        before = self.state.behaviour
        changed = {
            name: getattr(behaviour, name)
            for name in Behaviour.__struct_fields__
            if getattr(behaviour, name) != getattr(before, name)
        }
        self._asked.update(changed)
        self.state.behaviour = behaviour
        self.update_behaviours()

    def change_account(self, name: str, changes: dict[str, object]) -> Behaviour:
        """Have one account behave differently. BehaviourError for a name or changes that are impossible."""
        found = [account for account in self._accounts.all() if account.name == name]
        if not found:
            names = ", ".join(account.name for account in self._accounts.all())
            raise BehaviourError(f"no account {name!r}; there are: {names or 'none yet'}")
        found[0].behaviour.change(changes)
        found[0].asked.update(changes)
        self.update_behaviours()
        return found[0].behaviour

    def update_behaviours(self) -> None:
        """Have all accounts behave as the profile says for this moment, and send what was held back."""
        self._accounts.update_behaviours(self._asked)
        for connection in tuple(self.state.connections):
            connection.send_due_responses()
        self._accounts.send_due_receipts()

    def next_change(self) -> float | None:
        """When the profile changes a behaviour next, in seconds after the start; None: never."""
        return self._accounts.next_change()

    def links_of(self, accounts: Sequence[str]) -> Sequence[Connection]:
        """The connections that are bound to these accounts; without names all."""
        return tuple(link for link in self.state.connections if not accounts or link.account in accounts)

    def refuses_connections(self, port: str) -> bool:
        """Nobody is to listen on this port at this moment."""
        return self._accounts.on_port(port).behaviour.connections == "refused"

    def refused_accounts(self) -> Sequence[str]:
        """The accounts on whose port nobody is to listen at this moment."""
        return [account.name for account in self._accounts.all() if account.behaviour.connections == "refused"]

    def reset(self) -> None:
        """Start all counts again at 0 and drop the receipts that wait; binds stay, message numbers go on."""
        self.state.reset_counts()
        self._accounts.reset_counts()
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
            "accounts": {account.name: self._describe_account(account) for account in self._accounts.all()},
            "violations": state.violations.by_kind(),
            "violations_total": state.violations.total,
            "violation_examples": msgspec.to_builtins(state.violations.examples),
            "seconds": round(state.elapsed, 3),
        }

    def _describe_account(self, account: Account) -> dict[str, object]:
        return {
            **msgspec.to_builtins(account.metrics),
            "binds_now": len(account.connections),
            "highest_unanswered": max(
                (bind.highest_unanswered for bind in self.state.binds if bind.account == account.name), default=0
            ),
            "highest_per_second": account.rate.highest,
            "receipts_waiting": account.receipts.waiting,
            "violations": self.state.violations.of_account(account.name),
        }
