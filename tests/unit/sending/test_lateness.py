"""An SMSC that answers late, or not at all for seconds: what is said of it, and when it is in order again."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from broadcast.alarms import ACCOUNT_LATE
from broadcast.routing import Account
from broadcast.sending.accounts.health.breaker import Breaker
from broadcast.sending.accounts.health.lateness import SILENT_SECONDS, STEADY_SECONDS, Lateness
from broadcast.sending.accounts.watch.late_watch import LateWatch

TIMEOUT = 30.0


def look(lateness: Lateness, now: float, answers: int = 0, overdue: int = 0, silent: float = 0.0) -> None:
    pending = 50 if silent else 0
    lateness.look(now, answers=answers, overdue=overdue, pending=pending, silent_seconds=silent, timeout=TIMEOUT)


def test_submits_without_any_answer_for_seconds_are_told_with_their_number() -> None:
    lateness = Lateness()
    look(lateness, 4.9, silent=SILENT_SECONDS - 0.1)
    assert lateness.describe() == ""
    look(lateness, 8.0, silent=8.0)
    assert lateness.describe() == "has answered none of 50 submits for 8 s"


def test_an_smsc_that_answers_each_submit_after_40_s_is_late_without_a_break() -> None:
    lateness = Lateness()
    said = []
    for second in range(1, 401):
        silent = second % 40
        answered = 0 if silent else 50
        look(lateness, float(second), answers=answered, overdue=answered, silent=float(silent))
        if second >= 40:
            assert lateness.late
            said.append(lateness.describe())
    assert said[-1] == (
        "answers late: 200 of the last 200 answers came after response_timeout_seconds (30 s); "
        "raise response_timeout_seconds or ask the operator of the SMSC"
    )
    assert all("answers late: " in each for each in said)


def test_it_is_in_order_again_only_after_answers_in_time() -> None:
    lateness = Lateness()
    look(lateness, 0.0, answers=50, overdue=50)
    look(lateness, 10 * STEADY_SECONDS)
    assert lateness.late, "without traffic nothing is known"
    look(lateness, 10 * STEADY_SECONDS + 1, answers=1)
    assert not lateness.late


@given(
    looks=st.lists(
        st.tuples(
            st.floats(min_value=0.1, max_value=STEADY_SECONDS), st.integers(0, 50), st.booleans(), st.floats(0, 20)
        ),
        max_size=50,
    )
)
def test_what_is_late_is_told_for_at_least_the_steady_time(looks: list[tuple[float, int, bool, float]]) -> None:
    lateness = Lateness()
    now, late_at = 0.0, float("-inf")
    for seconds, answers, overdue, silent in looks:
        now += seconds
        look(lateness, now, answers, answers if overdue else 0, silent)
        if (answers and overdue) or silent >= SILENT_SECONDS:
            late_at = now
        if now - late_at < STEADY_SECONDS:
            assert lateness.late
        assert bool(lateness.describe()) == lateness.late


@dataclass
class SessionInState:
    """A bound session as the watch sees it."""

    unanswered: int = 0
    seconds: float = 0.0
    answers: tuple[int, int] = (0, 0)

    def unanswered_seconds(self) -> float:
        return self.seconds

    def take_answers(self) -> tuple[int, int]:
        taken, self.answers = self.answers, (0, 0)
        return taken


@dataclass
class PoolInState:
    """A pool as the watch sees it."""

    sessions: list[SessionInState]


@dataclass
class BindsInState:
    """An account's binds as the watch sees them."""

    pool: PoolInState
    account: Account = field(default_factory=lambda: Account(name="a", host="h", port=1, system_id="s"))
    breaker: Breaker = field(default_factory=lambda: Breaker(10))
    lateness: Lateness = field(default_factory=Lateness)


class AlarmsInState:
    """What was wanted of the alarms, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str, str]] = []

    def raise_soon(self, kind: str, subject: str, detail: str) -> None:
        self.calls.append(("raise", kind, subject, detail))

    def renew_soon(self, kind: str, subject: str, detail: str) -> None:
        self.calls.append(("renew", kind, subject, detail))

    def end_soon(self, kind: str, subject: str) -> None:
        self.calls.append(("end", kind, subject, ""))


def test_an_open_alarm_gets_newer_values_and_ends_when_the_account_is_stopped() -> None:
    alarms = AlarmsInState()
    watch = LateWatch("host-1", alarms)  # type: ignore[arg-type]
    binds = BindsInState(PoolInState([SessionInState(3, 1.0), SessionInState(8, 7.0)]))
    for now in (0.0, 1.0, 20.0):
        watch.look(binds, now)  # type: ignore[arg-type]
    subject = "a, sender host-1"
    assert alarms.calls[:2] == [
        ("raise", ACCOUNT_LATE, subject, "has answered none of 8 submits for 7 s"),
        ("renew", ACCOUNT_LATE, subject, "has answered none of 8 submits for 7 s"),
    ]
    binds.pool.sessions[1].answers, binds.pool.sessions[1].seconds = (8, 8), 0.0
    watch.look(binds, 40.0)  # type: ignore[arg-type]
    assert "8 of the last 8 answers" in alarms.calls[-1][3]
    binds.breaker.note_loss("mute", 41.0, unanswered=8, mute=True)
    watch.look(binds, 41.0)  # type: ignore[arg-type]
    watch.look(binds, 42.0)  # type: ignore[arg-type]
    assert [call for call, *_ in alarms.calls] == ["raise", "renew", "renew", "end"]
