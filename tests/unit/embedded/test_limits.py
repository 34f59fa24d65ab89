"""A demo waits for everybody whose state may still change, and no longer."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.embedded.limits import LATE_SECONDS, longest_resend_seconds, states_stand
from broadcast.embedded.options import make_routes
from broadcast.routing import read_routes
from broadcast.smsc.profile.reading import read_profile
from schemas.status import DeliveryState

RESEND_SECONDS = 65.0
WITHOUT_RESENDS = "{ resend_unanswered = { immediate = 0, priority = 0, routine = 0 } }"


@pytest.mark.parametrize(
    ("states", "unchanged", "stand"),
    [
        ({"delivered": 3}, 0, True),
        ({"delivered": 2, "queued": 1}, 1000, False),
        ({"delivered": 2, "submitted": 1}, 1000, False),
        ({"delivered": 2, "unknown": 1}, 0, False),
        ({"delivered": 2, "unknown": 1}, RESEND_SECONDS - 1, False),
        ({"delivered": 2, "unknown": 1}, RESEND_SECONDS + 1, True),
    ],
)
def test_the_unknown_are_waited_for_while_a_resend_may_settle_them(
    states: Mapping[str, int], unchanged: float, stand: bool
) -> None:
    assert states_stand(states, unchanged, RESEND_SECONDS) is stand


@given(st.dictionaries(st.sampled_from(DeliveryState), st.integers(0, 3)), st.floats(0, 1000))
def test_states_stand_only_without_queued_and_submitted_and_at_once_without_unknown(
    states: Mapping[str, int], unchanged: float
) -> None:
    open_states = states.get(DeliveryState.QUEUED, 0) + states.get(DeliveryState.SUBMITTED, 0)
    stand = states_stand(states, unchanged, RESEND_SECONDS)
    assert not (stand and open_states)
    if not open_states and not states.get(DeliveryState.UNKNOWN, 0):
        assert stand


@pytest.mark.parametrize(
    ("client", "seconds"),
    [
        ("{}", 30 + 30 + LATE_SECONDS),
        ("{ response_timeout_seconds = 10 }", 30 + 10 + LATE_SECONDS),
        (WITHOUT_RESENDS, LATE_SECONDS),
    ],
)
def test_a_resend_takes_the_second_pause_and_the_time_for_an_answer(client: str, seconds: float) -> None:
    text = make_routes(2775, read_profile(f"client = {client}\n", "profile.toml"))
    assert longest_resend_seconds(read_routes(text)) == seconds
