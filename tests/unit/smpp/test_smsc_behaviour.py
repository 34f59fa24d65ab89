"""The switches of the simulator: what is wrong in them is named."""

import pytest

from broadcast.smsc.behaviour import Behaviour, BehaviourError, parse_share, parse_status


@pytest.mark.parametrize("text", ["throttled", "ESME_RTHROTTLED", "rthrottled", "0x58", "88", " Throttled "])
def test_statuses_by_name_and_number(text: str) -> None:
    assert parse_status(text) == 0x58


@pytest.mark.parametrize("text", ["throttled", "throttled=", "throttled=x", "what=0.1", "=0.1"])
def test_shares_that_are_none(text: str) -> None:
    with pytest.raises(BehaviourError):
        parse_share(text)


def test_behaviour_names_what_is_wrong() -> None:
    cases: tuple[tuple[dict[str, object], str], ...] = (
        ({"hang_share": 1.5}, "hang_share=1.5"),
        ({"hang": 1}, "unknown field `hang`"),
        ({"error_shares": {"nonsense": 0.1}}, "nonsense"),
        ({"error_shares": {"throttled": 0.7}, "hang_share": 0.5}, "together exceed 1"),
        ({"delay_ms": -1}, "delay_ms=-1"),
    )
    for changes, message in cases:
        with pytest.raises(Exception, match=message):
            Behaviour().change(changes)
