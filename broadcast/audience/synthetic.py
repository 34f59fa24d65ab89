"""Synthetic recipients, for the demo, the benchmark and tests: deterministic, in overlapping groups.

Their numbers begin with +491500, a block of the German plan in which no operator has subscribers to our knowledge:
valid in form. They belong on routes to the simulator only.
"""

import random
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

HEADER = "external_id,phone,language,groups,latitude,longitude,participant\n"
NUMBERS = "+491500"
HIGHEST_COUNT = 10_000_000
"""As many numbers as the block has."""

DISTRICTS = tuple(f"district-{number}" for number in range(1, 6))
FLOOD_PLAIN = "flood-plain"
DEMO = "demo"
"""The parent of all of them, by `NESTING`."""

NESTING: tuple[tuple[str, str], ...] = tuple((DEMO, child) for child in (*DISTRICTS, FLOOD_PLAIN))
"""Parent and child: groups within groups, which a CSV cannot say."""

LANGUAGES = ("en", "en", "en", "de", "de", "de", "de", "de", "de", "ar")
BLOCK_ROWS = 10_000


def rows(count: int, seed: int = 1) -> Iterator[str]:
    """The CSV of `count` recipients, in blocks of lines, the header first; the same for the same count and seed.

    Everybody is in one of five districts, every third also in a neighbouring one, every third in the flood plain,
    every fiftieth takes part in exercises.
    """
    if not 0 < count <= HIGHEST_COUNT:
        raise ValueError(f"count is {count}: it must be between 1 and {HIGHEST_COUNT}")
    chance = random.Random(seed)  # noqa: S311 (made-up people, not a secret)
    yield HEADER
    for start in range(0, count, BLOCK_ROWS):
        block = StringIO()
        for number in range(start, min(start + BLOCK_ROWS, count)):
            draw = chance.getrandbits(32)
            groups = DISTRICTS[draw % 5]
            if draw // 5 % 3 == 0:
                groups += ";" + DISTRICTS[(draw + 1) % 5]
            if draw // 15 % 3 == 0:
                groups += ";" + FLOOD_PLAIN
            language = LANGUAGES[draw // 45 % 10]
            latitude, longitude = 50.7 + draw % 9973 / 99_730, 7.0 + draw % 7919 / 79_190
            exercise = "yes" if draw // 450 % 50 == 0 else "no"
            block.write(
                f"P{number:07d},{NUMBERS}{number:07d},{language},{groups},{latitude:.5f},{longitude:.5f},{exercise}\n"
            )
        yield block.getvalue()


def write(path: Path, count: int, seed: int = 1) -> None:
    """Write the CSV of `count` synthetic recipients to a file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(rows(count, seed))
