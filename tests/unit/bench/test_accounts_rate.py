"""The guarded rate is that at which the whole broadcast arrives; that of the healthy accounts stands beside it."""

from typing import Any

from bench.accounts import HEALTHY, Count, arrival_rate, count_accepted, find_faults, healthy_rate


def test_what_the_account_out_of_order_accepts_is_part_of_the_whole_and_not_of_the_healthy_ones() -> None:
    counts = [
        count_accepted({"a": {"accepted": 100 * at}, **{name: {"accepted": 900 * at} for name in HEALTHY}}, float(at))
        for at in range(40)
    ]
    assert (counts[1].by_all, counts[1].by_healthy) == (2_800, 2_700)
    assert healthy_rate(counts, 100_000) == 2_700
    assert round(arrival_rate(counts, 100_000, 0)) == round(100_000 / 36)


def test_a_broadcast_whose_last_tenth_comes_slowly_arrives_slowly() -> None:
    counts = [Count(float(at), min(3_000 * at, 90_000), 0) for at in range(40)]
    counts += [Count(40.0 + at, 90_000 + 100 * at, 0) for at in range(1, 101)]
    assert healthy_rate(counts, 100_000) == 0
    assert round(arrival_rate(counts, 100_000, 0)) == round(100_000 / 140)


def test_what_was_never_answered_and_is_sent_again_by_design_is_not_waited_for() -> None:
    counts = [Count(2.0 + at, min(3_000 * at, 99_800), 0) for at in range(60)] + [Count(70.0, 100_000, 0)]
    assert round(arrival_rate(counts, 100_000, 200)) == round(99_800 / 34)


def test_a_case_fails_by_the_rate_of_the_whole_broadcast_and_by_anybody_not_reached() -> None:
    found: dict[str, Any] = {"recipients": 100_000, "per_second": 2_900, "states": {"delivered": 100_000}}
    assert list(find_faults(found)) == []
    assert list(find_faults(found | {"per_second": 2_899})) == ["arrives at 2,899 a second, below 2,900"]
    assert list(find_faults(found | {"states": {"delivered": 99_999, "unknown": 1}})) == [
        "delivered to 99,999 of 100,000"
    ]
