"""Publishing waits for a decision; its exit code says whether people get the alert."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from broadcast.api.client import Client
from broadcast.cli.terminal import alert_decision as decision
from broadcast.cli.terminal.alert_decision import await_decision, describe_decision, exit_code_of
from broadcast.errors import UnavailableError


def alert(state: str, audience: int | None = None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"alert_id": "a", "state": state, "audience": audience, "reason": reason, "simulated": "none"} | more


@pytest.mark.parametrize(
    ("state", "audience", "code", "said"),
    [
        ("accepted", None, 4, "do not publish it again"),
        ("expanding", None, 4, "do not publish it again"),
        ("expanding", 5, 0, "expanding to 5 recipients"),
        ("sending", 5, 0, "sending to 5 recipients"),
        ("completed", 5, 0, "completed to 5 recipients"),
        ("completed", 0, 0, "completed"),
        ("pending_approval", None, 0, "pending_approval"),
        ("refused", None, 3, "nobody gets this alert"),
        ("expired", None, 3, "nobody gets this alert"),
        ("cancelled", None, 3, "nobody gets this alert"),
        ("cancelled", 5, 0, "cancelled to 5 recipients"),
        ("superseded", None, 3, "nobody gets this alert"),
    ],
)
def test_the_exit_code_says_whether_people_get_it(state: str, audience: int | None, code: int, said: str) -> None:
    found = alert(state, audience)
    assert exit_code_of(found) == code
    assert any(said in line for line in describe_decision(found, waited=True))


@pytest.mark.parametrize(
    ("state", "events", "code", "said"),
    [
        ("refused", ["submitted", "refused"], 3, "this Cancel has stopped nothing"),
        ("completed", ["planned", "incomplete", "finished"], 3, "this Cancel has not stopped everything"),
        ("completed", ["planned", "finished"], 0, "completed: why"),
    ],
)
def test_a_cancel_that_leaves_people_to_be_sent_to_is_no_success(
    state: str, events: list[str], code: int, said: str
) -> None:
    found = alert(state, 0, "why", msg_type="Cancel", events=[{"event": event} for event in events])
    lines = list(describe_decision(found, waited=True))
    assert exit_code_of(found) == code
    assert said in " ".join(lines)
    assert lines[0] == f"{state}: why"
    assert not any("publish it with a new identifier" in line for line in lines)


def test_what_a_simulator_takes_is_said() -> None:
    found = alert("sending", 5, simulated="all")
    assert list(describe_decision(found, waited=True))[-1] == "SIMULATED: no phone was reached"


class _Answers:
    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.left: Iterator[dict[str, Any] | Exception] = iter(answers)
        self.last: dict[str, Any] | Exception = alert("accepted")

    def get(self, _path: str) -> dict[str, Any]:
        self.last = next(self.left, self.last)
        if isinstance(self.last, Exception):
            raise self.last
        return self.last


def test_it_waits_for_the_decision_and_passes_over_an_api_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision, "POLL_SECONDS", 0.0)
    answers = _Answers(alert("accepted"), UnavailableError("restarts"), alert("expanding"), alert("expanding", 5))
    assert await_decision(cast("Client", answers), "a", 5.0, pytest.fail)["audience"] == 5


def test_a_planner_that_is_away_is_told_and_the_wait_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(decision, "POLL_SECONDS", 0.01)
    told: list[str] = []
    found = await_decision(cast("Client", _Answers(alert("accepted", reason="waits"))), "a", 0.05, told.append)
    assert exit_code_of(found) == 4
    assert "waits" in told[0]
