"""Synthetic recipients: the same every time, valid, each with a number of their own."""

import csv

from broadcast.audience.synthetic import DISTRICTS, FLOOD_PLAIN, HIGHEST_COUNT, rows
from broadcast.cells.numbers import normalise


def test_the_same_seed_gives_the_same_people() -> None:
    assert list(rows(500, seed=3)) == list(rows(500, seed=3))
    assert list(rows(500, seed=3)) != list(rows(500, seed=4))


def test_numbers_are_valid_and_distinct_and_groups_overlap() -> None:
    people = list(csv.DictReader("".join(rows(20_000)).splitlines()))
    assert len({normalise(person["phone"], None) for person in people}) == 20_000
    groups = [person["groups"].split(";") for person in people]
    assert {name for names in groups for name in names} == {*DISTRICTS, FLOOD_PLAIN}
    assert {len(names) for names in groups} == {1, 2, 3}
    assert {person["language"] for person in people} == {"en", "de", "ar"}
    assert 0.01 < sum(person["participant"] == "yes" for person in people) / 20_000 < 0.03


def test_the_whole_block_of_numbers_is_valid() -> None:
    for number in range(0, HIGHEST_COUNT, 9973):
        normalise(f"+491500{number:07d}", None)
