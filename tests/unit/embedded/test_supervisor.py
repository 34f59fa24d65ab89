"""How long a supervisor waits before it starts a dead process again."""

import pytest

from broadcast.embedded.processes.supervisor import FENCED_PAUSE_SECONDS, PAUSES_SECONDS, pause_before_restart
from broadcast.errors import FENCED_EXIT_CODE


def test_first_death_is_answered_at_once() -> None:
    assert pause_before_restart(-9, 0) == 0


def test_pauses_grow_to_a_limit() -> None:
    pauses = [pause_before_restart(1, deaths) for deaths in range(20)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == PAUSES_SECONDS[-1]


@pytest.mark.parametrize("deaths", [0, 1, 10])
def test_a_fenced_process_leaves_its_successor_time(deaths: int) -> None:
    assert pause_before_restart(FENCED_EXIT_CODE, deaths) == FENCED_PAUSE_SECONDS
