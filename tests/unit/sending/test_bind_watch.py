"""What people are told of an account that is not bound: on `/readyz` at once, as an alarm after some seconds."""

import re
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broadcast.alarms import BIND_DOWN
from broadcast.health import Health
from broadcast.routing import Account
from broadcast.sending.accounts.health.breaker import Breaker
from broadcast.sending.accounts.health.lateness import Lateness
from broadcast.sending.accounts.watch.bind_watch import (
    GRACE_SECONDS,
    BindReport,
    BindWatch,
    is_news,
    report_binds,
)
from broadcast.smpp.account import BindMode
from broadcast.smpp.bind_state import BindPhase, BindState
from broadcast.smpp.codec.command_status import RALYBND, RINVPASWD
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.errors import BindError, LinkLostError

WALL = 1_700_000_000_000
REFUSED = BindError("h:1 refused the bind of s: ESME_RINVPASWD", retryable=False, command_status=RINVPASWD)


@dataclass
class SessionInState:
    """A bound session as the watch sees it."""


@dataclass
class PoolInState:
    """A pool as the watch sees it."""

    binds: int = 1
    sessions: list[SessionInState] = field(default_factory=list)
    error: SmppError | None = None
    wait: float | None = None
    receivers: int = 0
    now: int = WALL
    others: list[BindState] = field(default_factory=list)

    def bind_states(self) -> list[BindState]:
        modes = [BindMode.TRANSMITTER] * len(self.sessions) + [BindMode.RECEIVER] * self.receivers
        bound = [BindState("a", str(number), mode, BindPhase.BOUND, WALL) for number, mode in enumerate(modes)]
        phase = BindPhase.CONNECTING if self.wait is None else BindPhase.WAITING
        next_try = None if self.wait is None else self.now + int(self.wait * 1000)
        down = BindState("a", "down", BindMode.TRANSMITTER, phase, WALL, self.error, 1, next_try)
        return [*bound, *([down] * (self.binds - len(bound))), *self.others]


@dataclass
class BindsInState:
    """An account's binds as the watch sees them."""

    account: Account
    pool: PoolInState = field(default_factory=PoolInState)
    breaker: Breaker = field(default_factory=lambda: Breaker(10))
    lateness: Lateness = field(default_factory=Lateness)


class RecordedAlarms:
    """Alarms that are remembered in order, and which of them are open."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.open: dict[str, str] = {}

    def raise_soon(self, kind: str, subject: str, detail: str) -> None:
        assert kind == BIND_DOWN
        self.calls.append(("raise", subject, detail))
        self.open[subject] = detail

    def renew_soon(self, kind: str, subject: str, detail: str) -> None:
        self.calls.append(("renew", subject, detail))
        self.open[subject] = detail

    def end_soon(self, kind: str, subject: str) -> None:
        self.calls.append(("end", subject, ""))
        self.open.pop(subject, None)


class WatchUnderTest:
    """A watch over accounts `a`, `b` … of one route, whose process has started."""

    def __init__(self, *names: str) -> None:
        self.accounts = [BindsInState(Account(name=name, host="h", port=1, system_id="s")) for name in names]
        self.health, self.alarms = Health("sender"), RecordedAlarms()
        self.health.release("start")
        accounts: Any = self.accounts
        alarms: Any = self.alarms
        self.watch = BindWatch("host-1", accounts, self.health, alarms)
        self.now = 0.0

    def look(self, after: float = 0.0) -> None:
        self.now += after
        for binds in self.accounts:
            binds.pool.now = WALL + int(self.now * 1000)
        self.watch.look(self.now)


def test_no_account_bound_is_not_ready_and_names_account_reason_and_next_try() -> None:
    sender = WatchUnderTest("a")
    sender.look()
    assert not sender.health.ready()
    assert not sender.health.started(), "the first try is not over: starting goes on"
    sender.accounts[0].pool.error, sender.accounts[0].pool.wait = REFUSED, 83.0
    sender.look()
    assert sender.health.holds == {
        "account a": "0 of 1 binds: h:1 refused the bind of s: ESME_RINVPASWD; next try at 22:14:43 UTC"
    }
    assert not sender.health.ready()
    assert sender.health.started()
    sender.accounts[0].pool.sessions.append(SessionInState())
    sender.look()
    assert sender.health.ready()
    assert sender.health.report()["holds"] == {}


def test_one_account_of_two_is_ready_and_degraded() -> None:
    sender = WatchUnderTest("a", "b")
    sender.accounts[0].pool.sessions.append(SessionInState())
    sender.accounts[1].pool.error = REFUSED
    sender.look()
    assert sender.health.ready()
    assert list(sender.health.degraded) == ["account b"]
    sender.accounts[0].pool.sessions.clear()
    sender.accounts[0].pool.error = LinkLostError("closed by the SMSC")
    sender.look()
    assert not sender.health.ready()
    assert sender.health.degraded == {}
    assert "closed by the SMSC" in sender.health.holds["account a"]


def test_an_account_that_is_bound_but_gets_no_work_is_not_ready() -> None:
    sender = WatchUnderTest("a", "b")
    for binds in sender.accounts:
        binds.pool.sessions.append(SessionInState())
    sender.accounts[0].breaker.note_loss("no submit answered for 60 s", 0.0, unanswered=10, mute=True)
    sender.look()
    assert sender.health.ready()
    stopped = r"gets no work but a probe now and then: no submit answered for 60 s; next try "
    assert re.fullmatch(stopped + r"at \d\d:\d\d:\d\d UTC", sender.health.degraded["account a"])
    sender.accounts[0].breaker.tick(60.0)
    sender.look()
    assert sender.health.degraded == {"account a": stopped + "with the next messages"}
    sender.accounts[1].breaker.note_loss("no submit answered for 60 s", 0.0, unanswered=10, mute=True)
    sender.look()
    assert list(sender.health.holds) == ["account a", "account b"]
    assert sender.health.started()


def test_an_smsc_that_answers_late_is_told_and_the_account_still_works() -> None:
    sender = WatchUnderTest("a")
    sender.accounts[0].pool.sessions = [SessionInState()]
    sender.look()
    assert sender.health.degraded == {}
    sender.accounts[0].lateness.look(0.0, answers=0, overdue=0, pending=8, silent_seconds=7.4, timeout=30.0)
    sender.look()
    assert sender.health.degraded == {"account a": "has answered none of 8 submits for 7 s"}
    assert sender.health.ready()
    sender.accounts[0].lateness.clear()
    sender.look()
    assert sender.health.degraded == {}


def test_the_alarm_says_whether_anything_of_the_route_is_sent_meanwhile() -> None:
    single = WatchUnderTest("a")
    single.accounts[0].pool.error, single.accounts[0].pool.wait = REFUSED, 60.0
    single.look()
    single.look(GRACE_SECONDS)
    assert "meanwhile nothing of this route is sent" in single.alarms.calls[-1][2]
    sender = WatchUnderTest("a", "b")
    sender.accounts[0].pool.error, sender.accounts[0].pool.wait = REFUSED, 60.0
    sender.accounts[1].pool.sessions.append(SessionInState())
    sender.look()
    sender.look(GRACE_SECONDS)
    assert "meanwhile other accounts of the route take the work" in sender.alarms.calls[-1][2]
    sender.accounts[1].pool.sessions.clear()
    sender.look(1)
    [detail] = [detail for _, subject, detail in sender.alarms.calls[-1:] if subject.startswith("a,")]
    assert "meanwhile nothing of this route is sent" in detail, "an open alarm says what is so now"


def test_a_bind_that_is_down_for_some_seconds_is_an_alarm_that_ends_when_it_is_bound() -> None:
    sender = WatchUnderTest("a")
    pool = sender.accounts[0].pool
    pool.error, pool.wait = REFUSED, 60.0
    sender.look()
    sender.look(GRACE_SECONDS - 1)
    assert sender.alarms.calls == []
    pool.wait = 55.0
    sender.look(1)
    [(call, subject, detail)] = sender.alarms.calls
    assert (call, subject) == ("raise", "a, sender host-1")
    assert "ESME_RINVPASWD; next try at" in detail
    pool.wait = None
    sender.look(55)
    assert len(sender.alarms.calls) == 1, "while a try runs nothing is news"
    pool.wait = 80.0
    sender.look(1)
    assert [call for call, *_ in sender.alarms.calls] == ["raise", "renew"]
    pool.sessions.append(SessionInState())
    sender.look(80)
    sender.look(1)
    assert [call for call, *_ in sender.alarms.calls] == ["raise", "renew", "end"]


def test_the_first_bind_ends_an_alarm_of_the_run_before_and_a_short_loss_is_none() -> None:
    sender = WatchUnderTest("a")
    pool = sender.accounts[0].pool
    pool.sessions.append(SessionInState())
    sender.look()
    assert [call for call, *_ in sender.alarms.calls] == ["end"]
    pool.sessions.clear()
    sender.accounts[0].pool.error = LinkLostError("closed by the SMSC")
    sender.look(1)
    pool.sessions.append(SessionInState())
    sender.look(2)
    assert [call for call, *_ in sender.alarms.calls] == ["end"]


def test_an_account_that_is_removed_holds_nothing_and_its_alarm_ends() -> None:
    sender = WatchUnderTest("a", "b")
    sender.accounts[0].pool.sessions.append(SessionInState())
    sender.accounts[1].pool.error, sender.accounts[1].pool.wait = REFUSED, 5.0
    sender.look()
    sender.look(10)
    assert list(sender.alarms.open) == ["b, sender host-1"]
    del sender.accounts[1]
    sender.look(1)
    assert sender.alarms.open == {}
    assert sender.health.degraded == {}


@given(
    bound=st.lists(st.booleans(), min_size=1, max_size=60),
    seconds=st.floats(min_value=0.1, max_value=2 * GRACE_SECONDS),
)
def test_an_alarm_is_open_while_and_only_while_a_bind_has_been_down_for_the_grace(
    bound: list[bool], seconds: float
) -> None:
    sender = WatchUnderTest("a")
    pool = sender.accounts[0].pool
    pool.error, pool.wait = REFUSED, 1.0
    down_for = -seconds
    for up in bound:
        pool.sessions[:] = [SessionInState()] if up else []
        sender.look(seconds)
        down_for = -seconds if up else down_for + seconds
        assert bool(sender.alarms.open) == (down_for >= GRACE_SECONDS - 1e-6) or abs(down_for - GRACE_SECONDS) < 1e-6
        assert sender.health.ready() == up


def test_binds_that_are_down_for_different_reasons_are_all_explained_and_those_that_leave_are_not_counted() -> None:
    own = BindsInState(Account(name="a", host="h", port=1, system_id="s", binds=4), PoolInState(binds=2))
    own.pool.sessions = [SessionInState()]
    own.pool.error, own.pool.wait = REFUSED, 60.0
    taken = BindError("h:1 refused the bind of s: ESME_RALYBND", retryable=True, command_status=RALYBND)
    own.pool.others = [
        BindState("a", "2", BindMode.TRANSCEIVER, BindPhase.WAITING, WALL, taken, 3, WALL + 5_000),
        BindState("a", "3", BindMode.TRANSCEIVER, BindPhase.WAITING, WALL, taken, 3, WALL + 9_000),
        BindState("a", "4", BindMode.TRANSCEIVER, BindPhase.UNBINDING, WALL, LinkLostError("closed"), 0, None),
    ]
    report = report_binds(own, 0.0)  # type: ignore[arg-type]
    assert report.describe() == (
        "1 of 4 binds: 2 of them: h:1 refused the bind of s: ESME_RALYBND; 1 of them: h:1 refused the bind of s: "
        "ESME_RINVPASWD; next try at 22:13:25 UTC"
    )


def test_the_try_of_another_bind_soon_after_is_no_news() -> None:
    told = BindReport("a", 1, 0, "refused", WALL)
    assert not is_news(BindReport("a", 1, 0, "refused", WALL + 3), told)
    assert is_news(BindReport("a", 1, 0, "refused", WALL + 5_000), told)
    assert is_news(BindReport("a", 1, 0, "closed", WALL), told)


def test_an_account_that_only_receives_takes_no_work_and_one_without_receivers_is_not_complete() -> None:
    separate: Any = {"bind_mode": "transmitter_receiver", "transmitters": 1, "receivers": 2}
    own = BindsInState(Account(name="a", host="h", port=1, system_id="s", **separate))
    own.pool.binds = 3
    own.pool.receivers = 2
    report = report_binds(own, 0.0)  # type: ignore[arg-type]
    assert (report.bound, report.binds, report.working, report.complete) == (2, 3, False, False)
    own.pool.receivers, own.pool.sessions = 0, [SessionInState()]
    report = report_binds(own, 0.0)  # type: ignore[arg-type]
    assert (report.bound, report.binds, report.working, report.complete) == (1, 3, True, False)
