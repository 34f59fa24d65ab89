"""How much an account is throttled: shown at once, an alarm when it is held under half its rate for a minute."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast import metrics
from broadcast.alarms import ACCOUNT_THROTTLED
from broadcast.health import Health
from broadcast.routing import Account
from broadcast.sending.accounts.health.breaker import Breaker
from broadcast.sending.accounts.health.observation import AnswerObserver
from broadcast.sending.accounts.health.throttling import HELD_SECONDS, SPAN_SECONDS, Throttling
from broadcast.sending.accounts.selection import Measures
from broadcast.sending.accounts.watch.account_alarms import RENEW_SECONDS
from broadcast.sending.accounts.watch.throttle_watch import ThrottleWatch
from broadcast.smpp.codec.command_status import RMSGQFUL, ROK, RTHROTTLED

LOOK_SECONDS = 0.5
LIMIT = 500.0


class AccountInState:
    """An account's binds as the watch sees them, and what is told of them."""

    def __init__(self) -> None:
        self.throttling = Throttling()
        self.account, self.pool = self, self
        self.name = "throttled-account"
        self.limit: float | None = LIMIT
        self.rate: float | None = LIMIT
        self.health, self.alarms = Health("sender"), self
        self.calls: list[tuple[str, str]] = []
        alarms: Any = self
        self.watch = ThrottleWatch("host-1", self.health, alarms)
        self.now = 0.0

    def allowed_rate(self) -> float | None:
        return self.rate

    def raise_soon(self, kind: str, subject: str, detail: str) -> None:
        assert (kind, subject) == (ACCOUNT_THROTTLED, "throttled-account, sender host-1")
        self.calls.append(("raise", detail))

    def renew_soon(self, kind: str, subject: str, detail: str) -> None:
        self.calls.append(("renew", detail))

    def end_soon(self, kind: str, subject: str) -> None:
        self.calls.append(("end", ""))

    def run(self, seconds: float, answers: int = 100, throttled: int = 4, rate: float | None = LIMIT) -> None:
        """Let so many seconds pass, with these answers at each look and this rate."""
        binds: Any = self
        self.rate = rate
        for _ in range(int(seconds / LOOK_SECONDS)):
            self.now += LOOK_SECONDS
            self.throttling.note_answers(answers, throttled)
            self.watch.look(binds, self.now)

    @property
    def told(self) -> list[str]:
        return [call for call, _ in self.calls]


def value(name: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(f"tocsin_{name}", {"account": "throttled-account"})


def test_share_and_rate_against_what_is_set_are_shown_while_and_only_while_the_smsc_slows_the_account() -> None:
    found = AccountInState()
    found.run(5, throttled=0)
    assert found.health.degraded == {}
    found.run(SPAN_SECONDS, rate=120.0)
    assert found.health.degraded == {
        "rate of account throttled-account": "throttled by the SMSC; slowed to 120 of 500 segments/s, "
        "4.0% of the answers of the last 10 s are throttled"
    }
    assert found.health.report()["ready"] == (not found.health.holds)
    assert (value("account_rate"), value("account_rate_limit")) == (120.0, LIMIT)
    assert abs((value("account_throttled_ratio") or 0) - 0.04) < 1e-9
    found.run(SPAN_SECONDS, throttled=0)
    assert found.health.degraded == {}
    found.watch.forget("throttled-account")
    assert value("account_rate") is None


def test_a_minute_under_half_the_rate_is_an_alarm_whose_values_are_renewed_and_that_ends_near_the_whole_rate() -> None:
    found = AccountInState()
    found.run(SPAN_SECONDS, rate=200.0)
    assert found.told == ["end"], "the alarm of a run before ends"
    found.run(HELD_SECONDS - SPAN_SECONDS, rate=200.0)
    assert found.told == ["end"]
    found.run(SPAN_SECONDS, rate=200.0)
    assert found.told == ["end", "raise"]
    assert "slowed to 200 of 500 segments/s, 4.0% of" in found.calls[-1][1]
    assert "correct rate_per_second" in found.calls[-1][1]
    found.run(RENEW_SECONDS, rate=300.0)
    assert found.told == ["end", "raise", "renew"], "300 is over half, and not near the whole"
    found.run(SPAN_SECONDS, rate=450.0)
    assert found.told[-1] == "end"
    assert found.told.count("raise") == 1


def test_an_account_that_is_idle_or_slowed_a_little_or_for_a_short_time_is_no_alarm() -> None:
    found = AccountInState()
    found.run(200, throttled=0, rate=100.0)
    found.run(200, rate=300.0)
    for _ in range(5):
        found.run(HELD_SECONDS / 2, rate=100.0)
        found.run(2 * SPAN_SECONDS, throttled=0, rate=500.0)
    assert found.told == ["end"]


def test_an_alarm_ends_when_nothing_was_throttled_for_a_minute() -> None:
    found = AccountInState()
    found.run(HELD_SECONDS + SPAN_SECONDS, rate=100.0)
    assert found.told[-1] == "raise"
    found.run(2 * SPAN_SECONDS, answers=0, throttled=0, rate=100.0)
    assert found.health.degraded, "what the alarm says is not in order again before the alarm ends"
    found.run(HELD_SECONDS + SPAN_SECONDS, answers=0, throttled=0, rate=100.0)
    assert found.told[-1] == "end"
    assert found.health.degraded == {}


def test_without_a_limit_the_throttled_share_decides() -> None:
    found = AccountInState()
    found.limit = None
    found.run(HELD_SECONDS + SPAN_SECONDS, rate=100.0)
    assert found.told == ["end"]
    assert "slowed to 100 segments/s" in next(iter(found.health.degraded.values()))
    found.run(HELD_SECONDS + SPAN_SECONDS, throttled=60, rate=100.0)
    assert found.told == ["end", "raise"]


def test_a_minute_in_which_most_answers_are_throttled_is_an_alarm_at_any_rate() -> None:
    found = AccountInState()
    found.run(HELD_SECONDS + SPAN_SECONDS, throttled=60, rate=450.0)
    assert found.told == ["end", "raise"]
    found.run(SPAN_SECONDS + LOOK_SECONDS, throttled=4, rate=450.0)
    assert found.told[-1] == "end"


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(1, 1000) | st.none()), min_size=1, max_size=300
    ),
    st.floats(1, 1000) | st.none(),
)
def test_values_stay_in_their_bounds_and_held_needs_a_minute_of_looks(
    looks: list[tuple[int, int, float | None]], limit: float | None
) -> None:
    found, since = Throttling(), 0.0
    for number, (accepted, throttled, rate) in enumerate(looks):
        now = number * LOOK_SECONDS
        found.note_answers(accepted + throttled, throttled)
        found.look(now, rate, limit)
        assert 0 <= found.share <= 1
        if not found.share:
            since = now
            assert not found.slowed
        if found.held:
            assert now >= HELD_SECONDS
        assert "slowed to" in found.describe()
    assert not found.held or since < len(looks) * LOOK_SECONDS


@pytest.mark.parametrize(
    ("own", "share"), [({}, 0.75), ({RMSGQFUL: "throttled"}, 0.75), ({RTHROTTLED: "for_now"}, 0.25)]
)
def test_full_queues_count_as_throttling_once_however_the_account_calls_them(own: dict[int, str], share: float) -> None:
    account = Account(name="acc", host="h", port=1, system_id="s").model_copy(update={"command_status": own})
    throttling = Throttling()
    observer = AnswerObserver(Breaker(10), Measures(), throttling)
    observer.observe(account, Counter({ROK: 2, RMSGQFUL: 2, RTHROTTLED: 4}), [], 0.0)
    throttling.look(0.0, LIMIT, LIMIT)
    assert throttling.share == share
