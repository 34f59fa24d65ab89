"""The alarms of a stopped account: raised once with the reason, renewed with another one, ended when it works."""

from typing import Any

from broadcast.alarms import ACCOUNT_STOPPED, SESSION_MUTE
from broadcast.sending.accounts.health.breaker import Breaker
from broadcast.sending.accounts.watch.breaker_watch import BreakerWatch

SUBJECT = "stopped-account, sender host-1"


class AccountInState:
    """An account's binds as the watch sees them, and what is told of them."""

    def __init__(self) -> None:
        self.breaker = Breaker(10)
        self.account, self.pool = self, self
        self.name = "stopped-account"
        self.sessions: tuple[str, ...] = ("bound",)
        self.calls: list[tuple[str, str, str]] = []
        alarms: Any = self
        self.watch = BreakerWatch("host-1", alarms)

    def raise_soon(self, kind: str, subject: str, detail: str) -> None:
        self._note("raise", kind, subject, detail)

    def renew_soon(self, kind: str, subject: str, detail: str) -> None:
        self._note("renew", kind, subject, detail)

    def end_soon(self, kind: str, subject: str) -> None:
        self._note("end", kind, subject, "")

    def _note(self, call: str, kind: str, subject: str, detail: str) -> None:
        assert subject == SUBJECT
        self.calls.append((call, kind, detail.partition(";")[0]))

    def look(self, times: int = 3) -> list[tuple[str, str, str]]:
        """What is told now."""
        binds: Any = self
        for _ in range(times):
            self.watch.look(binds)
        told, self.calls = self.calls, []
        return told

    def fail_probe(self, faults: int, reason: str) -> None:
        now = self.breaker.next_probe_at
        self.breaker.tick(now)
        self.breaker.probe.note_written(10)
        self.breaker.note_answers(10, faults, (), reason, now)


def stopped() -> AccountInState:
    account = AccountInState()
    account.look()
    account.breaker.note_answers(20, 20, map(str, range(20)), "ESME_RINVSRCADR", 0.0)
    return account


def test_an_account_that_is_stopped_is_one_alarm_until_it_works() -> None:
    account = stopped()
    reason = "20 of the last 20 submits failed because of the account, most of them with: ESME_RINVSRCADR"
    assert account.look() == [("raise", ACCOUNT_STOPPED, reason)]
    account.fail_probe(0, "")
    assert account.look() == [("end", ACCOUNT_STOPPED, "")]


def test_another_reason_renews_the_alarm_and_the_same_does_not() -> None:
    account = stopped()
    account.look()
    account.fail_probe(10, "ESME_RINVSRCTON")
    reason = "10 of 10 submits of a probe failed, most of them with: ESME_RINVSRCTON"
    assert account.look() == [("renew", ACCOUNT_STOPPED, reason)]
    account.fail_probe(10, "ESME_RINVSRCTON")
    assert account.look() == []


def test_silence_after_refusals_is_another_alarm_in_place_of_the_first() -> None:
    account = stopped()
    account.look()
    account.breaker.tick(account.breaker.next_probe_at)
    account.breaker.note_loss("mute session", 10.0, unanswered=10, mute=True)
    assert account.look() == [("end", ACCOUNT_STOPPED, ""), ("raise", SESSION_MUTE, "mute session")]


def test_alarms_of_a_run_before_end_when_the_account_is_bound_and_not_before() -> None:
    account = AccountInState()
    account.sessions = ()
    assert account.look() == []
    account.sessions = ("bound",)
    assert account.look() == [("end", SESSION_MUTE, ""), ("end", ACCOUNT_STOPPED, "")]


def test_the_alarm_of_a_removed_account_ends() -> None:
    account = stopped()
    account.look()
    account.watch.forget(account.name)
    account.watch.forget(account.name)
    assert account.calls == [("end", ACCOUNT_STOPPED, "")]
