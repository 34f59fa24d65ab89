"""The numbers by which accounts are judged are those that their page tells."""

import re

import pytest

from broadcast.sending.accounts.binds import PROBE_SEGMENTS
from broadcast.sending.accounts.health import breaker, contents, lateness, probe, throttling
from broadcast.sending.accounts.selection import (
    DELAY_GOOD_FACTOR,
    DELAY_GOOD_SECONDS,
    DELAY_POOR_FACTOR,
    DELAY_POOR_SECONDS,
    ERRORS_FACTOR,
    ERRORS_GOOD,
    ERRORS_POOR,
    LEAST_COMPARED,
    POOR_SHARE,
)
from tests.support.sources import ROOT

ACCOUNTS, ALARMS = "docs/accounts.md", "docs/how-to/alarms.md"


@pytest.mark.parametrize(
    ("page", "sentence", "constants", "told"),
    [
        (ACCOUNTS, "gets only a tenth of its share", [POOR_SHARE], [0.1]),
        (ACCOUNTS, "20 % of at least 50, and twice those", [ERRORS_POOR, LEAST_COMPARED, ERRORS_FACTOR], [0.2, 50, 2]),
        (ACCOUNTS, "| 5 %, or no more than the best account", [ERRORS_GOOD], [0.05]),
        (ACCOUNTS, "| 60 s, and four times that of the best", [DELAY_POOR_SECONDS, DELAY_POOR_FACTOR], [60, 4]),
        (ACCOUNTS, "| 30 s, or twice that of the best", [DELAY_GOOD_SECONDS, DELAY_GOOD_FACTOR], [30, 2]),
        (ACCOUNTS, "a probe: as many segments as `BROADCAST_HIGHEST_SEGMENTS`, at least 10", [PROBE_SEGMENTS], [10]),
        (ACCOUNTS, "of the first 5 answers, or all", [probe.PROBE_ANSWERS], [5]),
        (ACCOUNTS, "half or more are faults", [probe.FAULT_SHARE], [0.5]),
        (ACCOUNTS, "has succeeded 5 s after its answer", [probe.NOTHING_MORE_SECONDS], [5]),
        (ACCOUNTS, "more than 40 count as 40 by their share", [breaker.RECENT_ANSWERS], [40]),
        (ACCOUNTS, "of the last 20 to 40 answers", [breaker.LEAST_ANSWERS, breaker.RECENT_ANSWERS], [20, 40]),
        (ACCOUNTS, "to at least 10 different numbers", [breaker.LEAST_NUMBERS], [10]),
        (ACCOUNTS, "left three submits or more unanswered", [breaker.LEAST_MUTE], [3]),
        (ACCOUNTS, "Every submit was throttled for 5 s", [breaker.THROTTLED_SECONDS], [5]),
        (ACCOUNTS, "Three sessions one after the other", [breaker.LOSSES], [3]),
        (ACCOUNTS, "fewer than 100 good answers after each", [breaker.SETTLING_ANSWERS], [100]),
        (ACCOUNTS, "was accepted less than 10 s ago", [contents.ACCEPTED_SECONDS], [10]),
        (ACCOUNTS, "The first pause is 5 s", [breaker.FIRST_PAUSE_SECONDS], [5]),
        (ACCOUNTS, "with each opening up to 60 s", [breaker.LONGEST_PAUSE_SECONDS], [60]),
        (ACCOUNTS, "again after a minute closed", [breaker.STEADY_SECONDS], [60]),
        (ALARMS, "has answered none for 5 seconds", [lateness.SILENT_SECONDS], [5]),
        (ALARMS, "answers have come in time for a minute", [lateness.STEADY_SECONDS], [60]),
        (ALARMS, "For a minute the SMSC has answered", [throttling.HELD_SECONDS], [60]),
        (ALARMS, "sends with less than half of the", [throttling.HELD_SHARE], [0.5]),
        (ALARMS, "the rate is three quarters of what is set", [throttling.FREE_SHARE], [0.75]),
    ],
)
def test_the_page_tells_the_numbers_that_hold(
    page: str, sentence: str, constants: list[float], told: list[float]
) -> None:
    assert sentence in re.sub(r"\s+", " ", (ROOT / page).read_text())
    assert constants == told
