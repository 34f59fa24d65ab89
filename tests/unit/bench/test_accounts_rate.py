"""The rate beside an account that is out of order is that of the healthy accounts."""

from bench.accounts import HEALTHY, count_accepted, healthy_rate


def test_what_the_account_out_of_order_accepts_is_not_part_of_the_rate() -> None:
    counts = [
        count_accepted({"a": {"accepted": 100 * at}, **{name: {"accepted": 900 * at} for name in HEALTHY}}, float(at))
        for at in range(40)
    ]
    assert (counts[1].by_all, counts[1].by_healthy) == (2_800, 2_700)
    assert healthy_rate(counts, 100_000) == 2_700
