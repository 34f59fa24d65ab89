"""Ports are chosen by chance, and by nobody's seed."""

import random

from broadcast.embedded.ports import LOWEST_PORT, find_free_port


def test_programs_with_one_seed_choose_different_ports() -> None:
    chosen = []
    for _ in range(8):
        random.seed(1)
        chosen.append(find_free_port())
    assert len(set(chosen)) > 1
    assert min(chosen) >= LOWEST_PORT
