"""The short form of `make fuzz`: mutated frames through reader, parsers, receipts and a session."""

import pytest

from tests.fuzz.frames import SEEDS, Mutator, run


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_exception_escapes_and_no_memory_grows(seed: int) -> None:
    found = await run(seed=seed, frames=20_000, seconds=60)
    assert found.escaped == []
    assert found.frames == 20_000
    assert min(found.kinds[kind] for kind in ("delivery", "receipt", "submit_sm_resp", "others")) > 1_000
    assert found.growth_bytes < 32 << 20


async def test_good_frames_are_all_read() -> None:
    assert len({frame[4:8] for frame in SEEDS}) >= 17


def test_a_seed_makes_the_same_frames_again() -> None:
    first, second, other = Mutator(7), Mutator(7), Mutator(8)
    frames = [first.frame() for _ in range(200)]
    assert frames == [second.frame() for _ in range(200)]
    assert frames != [other.frame() for _ in range(200)]
