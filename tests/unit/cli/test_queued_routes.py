"""Which routes a watcher names for the queued, and when they are read from the database."""

from typing import Any

from broadcast.cli.terminal.queued_routes import QueuedRoutes, Routes


def route(name: str, queued: int, *, complete: bool = True) -> dict[str, Any]:
    return {"route": name, "queued": queued, "complete": complete}


class _Answers:
    def __init__(self, *answers: Routes) -> None:
        self.left, self.reads = list(answers), 0

    def __call__(self) -> Routes:
        self.reads += 1
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


def names_of(routes: Routes) -> list[str]:
    return [each["route"] for each in routes or ()]


def test_a_route_that_may_have_nobody_left_is_not_named() -> None:
    routes = QueuedRoutes(_Answers([route("gone", 2), route("simulated", 1)]))
    routes.look(3, due=False)
    assert names_of(routes.name(3)) == ["gone", "simulated"]
    assert names_of(routes.name(2)) == ["gone"], "the one who left may be the one of the other route"
    assert routes.name(0) == []


def test_routes_of_many_are_read_again_once_the_number_of_the_queued_rests() -> None:
    read = _Answers([route("gone", 2_000), route("simulated", 3_000)], [route("simulated", 2_000)])
    routes = QueuedRoutes(read)
    for queued in (5_000, 4_000, 3_000, 2_000):
        assert names_of(routes.look(queued, due=False)) == names_of(routes.name(queued)) == ["gone", "simulated"]
    assert read.reads == 1, "while the number changes they are read only when it is due"
    for _ in range(3):
        routes.look(2_000, due=False)
    assert (read.reads, names_of(routes.name(2_000))) == (2, ["simulated"])
    routes.look(2_000, due=True)
    assert read.reads == 3


def test_routes_of_a_few_are_read_at_each_change() -> None:
    read = _Answers([route("gone", 2), route("simulated", 1)], [route("gone", 2)])
    routes = QueuedRoutes(read)
    routes.look(3, due=False)
    for _ in range(3):
        routes.look(2, due=False)
    assert (read.reads, names_of(routes.name(2))) == (2, ["gone"])


def test_routes_of_a_part_of_a_large_alert_are_all_named() -> None:
    routes = QueuedRoutes(_Answers([route("home", 20, complete=False), route("abroad", 1, complete=False)]))
    routes.look(1_000_000, due=False)
    assert names_of(routes.name(5)) == ["home", "abroad"]


def test_a_routes_file_that_cannot_be_read_is_told_while_somebody_is_queued() -> None:
    routes = QueuedRoutes(_Answers(None))
    assert routes.look(1, due=False) is None
    assert routes.name(1) is None
    assert routes.look(0, due=True) == []
