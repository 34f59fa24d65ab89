"""The lease: on the monotonic clock, and watched while nothing else runs."""

import threading

from broadcast.errors import LEASE_EXIT_CODE
from broadcast.kafka.lease import Lease, Watchdog


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_is_held_from_the_beginning_of_the_last_commit_for_its_time() -> None:
    clock = Clock()
    lease = Lease(5.0, clock=clock)
    assert not lease.held
    assert not lease.expired
    lease.renew(99.0)
    clock.now = 103.9
    assert lease.held
    assert not lease.expired
    clock.now = 104.0
    assert not lease.held
    assert lease.expired
    lease.renew(104.0)
    assert lease.held


def test_without_partitions_there_is_nothing_to_lose() -> None:
    clock = Clock()
    lease = Lease(5.0, clock=clock)
    lease.renew(100.0)
    lease.release()
    clock.now = 1_000.0
    assert not lease.held
    assert not lease.expired


def test_the_watchdog_ends_the_process_while_the_event_loop_does_not_run() -> None:
    clock = Clock()
    lease = Lease(5.0, clock=clock)
    ended = threading.Event()
    codes: list[tuple[int, str]] = []

    def end(code: int, reason: str) -> None:
        codes.append((code, reason))
        ended.set()

    with Watchdog(lease, end):
        lease.renew(100.0)
        assert not ended.wait(0.3)
        clock.now = 105.0
        assert ended.wait(5.0)
    [(code, reason)] = codes
    assert code == LEASE_EXIT_CODE
    assert "5.0 s" in reason
