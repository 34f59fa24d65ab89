"""Which connections are closed for a new one, and which new ones are refused."""

from hypothesis import given
from hypothesis import strategies as st

from broadcast.api.connections.connection_limits import ConnectionLimits
from broadcast.api.connections.open_connections import OpenConnections


class Connection:
    def __init__(self, name: str = "") -> None:
        self.name = name
        self.closed = False

    def close_at_once(self) -> None:
        self.closed = True


def test_the_oldest_that_says_nothing_is_closed_for_a_new_one_of_its_address_first() -> None:
    connections = OpenConnections(ConnectionLimits(total=3, per_address=2))
    first, second, third = Connection(), Connection(), Connection()
    for now, (connection, address) in enumerate([(first, "a"), (second, "b"), (third, "b")]):
        assert connections.make_room(address)
        connections.add(connection, address, now)
    assert connections.make_room("b")
    assert (first.closed, second.closed, third.closed) == (False, True, False)
    connections.add(Connection(), "b", 3)
    assert connections.make_room("c")
    assert first.closed


def test_who_has_a_request_in_work_is_not_closed() -> None:
    connections = OpenConnections(ConnectionLimits(total=1, per_address=1))
    only = Connection()
    connections.add(only, "a", 0)
    connections.end_waiting(only)
    assert not connections.make_room("a")
    assert not connections.make_room("b")
    connections.begin_waiting(only, 1)
    assert connections.make_room("b")
    assert only.closed


def test_those_that_wait_too_long_are_found_oldest_first() -> None:
    connections = OpenConnections(ConnectionLimits(total=9, per_address=9))
    made = [Connection(str(number)) for number in range(3)]
    for now, connection in enumerate(made):
        connections.add(connection, "a", now)
    connections.end_waiting(made[0])
    connections.begin_waiting(made[0], 3)
    assert connections.waiting_since(2) == [made[1], made[2]]
    connections.remove(made[1])
    connections.remove(made[1])
    assert connections.waiting_since(9) == [made[2], made[0]]
    assert len(connections) == 2
    assert connections.waiting_since(1) == []
    assert (connections.has_waited_since(made[2], 2), connections.has_waited_since(made[2], 1)) == (True, False)
    connections.begin_waiting(made[2], 4)
    assert connections.waiting_since(9) == [made[0], made[2]], "it waits since now, behind those that waited before"


def test_what_is_closed_already_does_not_wait_again() -> None:
    connections = OpenConnections(ConnectionLimits(total=2, per_address=2))
    closed, only = Connection(), Connection()
    connections.add(closed, "a", 0)
    connections.remove(closed)
    connections.begin_waiting(closed, 1)
    assert connections.waiting_since(9) == []
    assert not connections.has_waited_since(closed, 9)
    connections.add(only, "a", 2)
    connections.add(Connection(), "a", 3)
    assert connections.make_room("b")
    assert (only.closed, closed.closed) == (True, False)


@given(
    st.lists(st.tuples(st.sampled_from(["open", "ask", "answer", "close"]), st.integers(0, 5), st.sampled_from("ab")))
)
def test_limits_hold_whatever_happens(steps: list[tuple[str, int, str]]) -> None:
    limits = ConnectionLimits(total=4, per_address=3)
    connections = OpenConnections(limits)
    alive: list[tuple[Connection, str]] = []
    for now, (step, place, address) in enumerate(steps):
        alive = [(connection, owner) for connection, owner in alive if not connection.closed]
        if step == "open":
            if connections.make_room(address):
                alive.append((Connection(), address))
                connections.add(alive[-1][0], address, now)
        elif alive:
            connection, _ = alive[place % len(alive)]
            if step == "ask":
                connections.end_waiting(connection)
            elif step == "answer":
                connections.begin_waiting(connection, now)
            else:
                connections.remove(connection)
                connection.closed = True
        alive = [(connection, owner) for connection, owner in alive if not connection.closed]
        assert len(connections) == len(alive) <= limits.total
        assert all([owner for _, owner in alive].count(each) <= limits.per_address for each in "ab")
