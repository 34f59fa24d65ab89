"""Who of those with a new number must keep the old one."""

from hypothesis import given
from hypothesis import strategies as st

from broadcast.audience.number_changes import find_staying

PEOPLE = st.integers(0, 12)


@given(st.lists(PEOPLE, unique=True), st.lists(st.one_of(st.none(), PEOPLE), unique_by=lambda each: each or -1))
def test_who_waits_for_somebody_who_stays_stays_and_all_others_move(
    people: list[int], holders: list[int | None]
) -> None:
    following = {person: holder for person, holder in zip(people, holders, strict=False) if person != holder}
    staying: set[int] = set()
    while more := {one for one, holder in following.items() if holder is None or holder in staying} - staying:
        staying |= more
    assert find_staying(following) == staying


def test_exchanges_move_and_a_long_chain_takes_no_recursion() -> None:
    assert find_staying({1: 2, 2: 1, 3: 4, 4: 5, 5: 3}) == set()
    assert find_staying({1: 2, 2: None, 3: 4}) == {1, 2}
    assert len(find_staying({number: number + 1 for number in range(100_000)} | {100_000: None})) == 100_001
