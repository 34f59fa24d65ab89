"""How many connections the API has, by what the process may open; the limits are those of a process that is not run."""

import resource

import pytest
from structlog.testing import capture_logs

from broadcast.api.connections.connection_limits import DESCRIPTORS_KEPT, LEAST, choose_limits
from broadcast.errors import SettingsError

ENDLESS = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "total", "per_address", "raised_to"),
    [
        (1_024, 4_096, 500, 100, None),
        (564, 4_096, 500, 100, None),
        (563, 4_096, 500, 100, 564),
        (256, ENDLESS, 500, 100, 564),
        (256, 400, 336, 100, 400),
        (100, 100, 36, 36, 100),
        (80, 80, 16, 16, 80),
        (ENDLESS, ENDLESS, 500, 100, None),
    ],
)
def test_there_are_as_many_as_descriptors_allow(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, total: int, per_address: int, raised_to: int | None
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    with capture_logs() as logged:
        assert choose_limits(500, 100) == (total, per_address)
    assert asked == ([] if raised_to is None else [(raised_to, hard)])
    assert [(event["event"], event["most"]) for event in logged] == (
        [("connections_limited", total)] if total < 500 else []
    )


def test_a_process_that_may_open_too_few_says_how_many_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    few = DESCRIPTORS_KEPT + LEAST - 1
    monkeypatch.setattr(resource, "getrlimit", lambda _: (few, few))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    with pytest.raises(SettingsError, match=f"may open {few} file descriptors, and needs {few + 1} at least; raise"):
        choose_limits(500, 100)
