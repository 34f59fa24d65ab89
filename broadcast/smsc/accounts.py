"""The accounts of the simulator: who may bind, their binds, how they behave now, and the receipts due to them."""

import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from broadcast.smpp.codec.bind import BindRequest
from broadcast.smpp.codec.command_status import RALYBND, RBINDFAIL, RINVPASWD, RINVSYSID, ROK
from broadcast.smsc.counts.rates import NumberRates, SlidingRate
from broadcast.smsc.counts.violations import Violation
from broadcast.smsc.profile import tables
from broadcast.smsc.profile.rule_plans import RulePlanner
from broadcast.smsc.profile.schedule import Schedule, rules_of
from broadcast.smsc.receipt_queue import ReceiptQueue
from broadcast.smsc.state import AccountMetrics, BindMetrics, Connection, SmscState


class Account:
    """An account with its binds, its receipts and its counts; it lives on while there is no bind.

    `behaviour` is the one of this moment.
    """

    def __init__(
        self,
        state: SmscState,
        name: str,
        table: tables.Account | None,
        schedule: Schedule,
        rules: Sequence[tables.Rule],
    ) -> None:
        self.name: Final = name
        self.table: Final = table
        self.connections: Final[list[Connection]] = []
        self.metrics = AccountMetrics()
        self.rate = SlidingRate()
        self.allowed = SlidingRate()
        self.number_rates: Final = NumberRates(state.now)
        self.receipts: Final = ReceiptQueue(state, self)
        self.asked: dict[str, object] = {}
        self._state: Final = state
        self._schedule: Final = schedule
        self._rules: Final = tuple(rule for rule in rules if not rule.behaviour)
        self.behaviour = schedule.behaviour_at(state.behaviour, state.elapsed, {})
        self.planner = RulePlanner(state.seed, name, self.behaviour, self._rules)
        # All submits are treated the same.
        self.plain = self.behaviour.plain and not self._rules
        self.has_limits = self.behaviour.has_limits
        self.watches_reading = self.behaviour.watches_reading

    def update_behaviour(self, asked: Mapping[str, object]) -> None:
        """Behave as the schedule and what was asked over HTTP say for this moment."""
        state = self._state
        behaviour = self._schedule.behaviour_at(state.behaviour, state.elapsed, {**asked, **self.asked})
        if behaviour == self.behaviour:
            return
        self.behaviour = behaviour
        self.planner = RulePlanner(state.seed, self.name, behaviour, self._rules)
        self.plain = behaviour.plain and not self._rules
        self.has_limits = behaviour.has_limits
        self.watches_reading = behaviour.watches_reading

    def next_change(self) -> float | None:
        """When the schedule changes the behaviour next, in seconds after the start."""
        return self._schedule.next_change(self._state.elapsed)

    def reset_counts(self) -> None:
        """Start all counts again at 0."""
        self.metrics = AccountMetrics()
        self.rate.highest = 0


class Bind(NamedTuple):
    """A bind that was accepted: the account it belongs to, and its own counts."""

    account: Account
    metrics: BindMetrics


class Accounts:
    """Accepts or refuses binds; without accounts in the profile `system_id` and `password` None accept any."""

    def __init__(
        self,
        state: SmscState,
        system_id: str | None,
        password: str | None,
        profile: tables.Profile | None = None,
    ) -> None:
        self._state: Final = state
        self._system_id: Final = system_id
        self._password: Final = password
        self._profile: Final = profile or tables.Profile()
        self._asked: dict[str, object] = {}
        # By name: those of the profile at once, without any in the profile each system_id when it binds.
        self._accounts: Final[dict[str, Account]] = {}
        for table in self._profile.accounts:
            self._accounts[table.name] = self._make(table.name, table)
        self.unbound: Final = self._make("", None)

    def _make(self, name: str, table: tables.Account | None) -> Account:
        profile = self._profile
        rules = rules_of(profile.rules, name)
        account = Account(self._state, name, table, Schedule(table, profile.behaviour, rules), rules)
        account.update_behaviour(self._asked)
        return account

    @property
    def binds_now(self) -> int:
        """Binds that stand at this moment, over all accounts."""
        return sum(len(account.connections) for account in self._accounts.values())

    @property
    def receipts_waiting(self) -> int:
        """Receipts of all accounts that are not sent yet, or are to be sent again."""
        return sum(account.receipts.waiting for account in self._accounts.values())

    def all(self) -> Sequence[Account]:
        """All accounts, by the profile or by the binds that came."""
        return tuple(self._accounts.values())

    def named(self, names: Sequence[str]) -> Sequence[Account]:
        """The accounts with these names; without names all."""
        return tuple(account for account in self.all() if not names or account.name in names)

    def on_port(self, port: str) -> Account:
        """How a connection on this port is treated before its bind: as the first account of the port says."""
        for account in self.all():
            if account.table is not None and account.table.listener == port:
                return account
        return self.unbound

    def find(self, request: BindRequest, port: str) -> Account | None:
        """The account that a bind on this port is for; None: there is none with this system_id."""
        login = request.system_id.decode("latin-1")
        if not self._profile.accounts:
            account = self._accounts.get(login)
            if account is None and self._system_id in {None, login}:
                account = self._accounts[login] = self._make(login, None)
            return account
        for account in self._accounts.values():
            if account.table is not None and (account.table.login, account.table.listener) == (login, port):
                return account
        return None

    def check_bind(self, request: BindRequest, mode: str, account: Account | None) -> int:
        """The command_status of the response to a bind; 0 accepts it."""
        behaviour = (account or self.unbound).behaviour
        if behaviour.refuse_binds:
            return behaviour.refuse_binds
        if account is None:
            return RINVSYSID
        table = account.table
        password = self._password if table is None else table.password
        if password is not None and request.password != password.encode():
            return RINVPASWD
        if table is not None and mode not in table.modes:
            self._state.violate(
                Violation.MODE_NOT_ALLOWED, account.name, 0, f"{mode}; allowed: {', '.join(table.modes)}"
            )
            return RBINDFAIL
        if behaviour.max_binds and len(account.connections) >= behaviour.max_binds:
            return RALYBND
        if table is not None and table.max_binds and len(account.connections) >= table.max_binds:
            return RALYBND
        return ROK

    def count_refused(self, account: Account | None) -> None:
        """Count a bind that was refused; None: there is no account with its system_id."""
        self._state.metrics.binds_refused += 1
        if account is not None:
            account.metrics.binds_refused += 1

    def add_bind(self, connection: Connection, request: BindRequest, mode: str, account: Account) -> Bind:
        """Count a new bind and give it to its account; the receipts that wait are sent at the next occasion."""
        account.connections.append(connection)
        self._state.metrics.binds_total += 1
        account.metrics.binds_total += 1
        metrics = BindMetrics(
            number=self._state.metrics.binds_total,
            system_id=request.system_id.decode("latin-1"),
            mode=mode,
            account=account.name,
            bound_at=time.time(),
        )
        self._state.binds.append(metrics)
        return Bind(account, metrics)

    def update_behaviours(self, asked: Mapping[str, object]) -> None:
        """Have every account behave as its schedule and `asked` say for this moment."""
        self._asked = dict(asked)
        for account in (self.unbound, *self.all()):
            account.update_behaviour(self._asked)

    def next_change(self) -> float | None:
        """When the behaviour of any account changes next, in seconds after the start."""
        changes = [account.next_change() for account in (self.unbound, *self.all())]
        return min((change for change in changes if change is not None), default=None)

    def send_due_receipts(self) -> None:
        """Send what is due, for every account."""
        for account in self.all():
            account.receipts.send_due()

    def discard_receipts(self) -> None:
        """Drop all receipts that wait, for every account."""
        for account in self.all():
            account.receipts.clear()

    def reset_counts(self) -> None:
        """Start the counts of every account again at 0."""
        for account in self.all():
            account.reset_counts()
