"""Pages of one state: the same people as counting gives, whatever is listed, and without reading who is in another."""

from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from broadcast.audit import deliveries, rebuild_check, verify
from broadcast.audit.chunk_states.upkeep import Upkeep
from broadcast.audit.deliveries import pages
from broadcast.audit.deliveries.pages import stream_deliveries
from broadcast.audit.deliveries.queued import find_queued_routes
from broadcast.routing import Account, Route
from schemas.receipt import Receipt, ReceiptState
from schemas.status import DeliveryState, Outcome, Status
from tests.support.recorder_without_kafka import Alerts, RecorderWithoutKafka

T = 1_760_000_000_000
PEOPLE = 400
OUTCOMES = (*(ReceiptState.DELIVERED,) * 40, ReceiptState.UNDELIVERABLE, ReceiptState.REJECTED, None, None)


def accepted(alert_id: UUID, recipient_id: int, attempt: int = 1, **changes: Any) -> Status:
    values: dict[str, Any] = {"account": "sim", "message_id": f"m{recipient_id}", "submitted_at": T, "at": T}
    return Status(str(alert_id), recipient_id, attempt, Outcome.ACCEPTED, **(values | changes))


def receipt(recipient_id: int, state: ReceiptState) -> Receipt:
    return Receipt("sim", f"m{recipient_id}", state, received_at=T + 9)


@pytest.fixture
async def sparse_alert(recorder: RecorderWithoutKafka, alerts: Alerts) -> UUID:
    """400 people with gaps between their ids, in chunks of 40: most are delivered, a few are in each other state."""
    random = Random(7)
    people = sorted(random.sample(range(-500, 5_000), PEOPLE))
    alert_id: UUID = await alerts.make(people, suppressed={people[5]: "opted out"}, chunk_size=40)
    statuses, receipts = [], []
    for one in people[:5] + people[6:]:
        outcome = random.choice(OUTCOMES)
        if random.random() > 0.01:
            statuses.append(accepted(alert_id, one))
            receipts += [receipt(one, outcome)] if outcome else []
    for start in range(0, PEOPLE, 100):
        await recorder.write(statuses[start : start + 100])
        await recorder.write(receipts=receipts[start : start + 100])
    await recorder.write(receipts=receipts[4 * 100 :])
    return alert_id


async def keep_up(connection: asyncpg.Connection) -> None:
    """Until nothing is left to list or count; what changed since the last look is listed at the next."""
    upkeep = Upkeep()
    for _ in range(100):
        if await upkeep.work(connection):
            return
    raise AssertionError("the upkeep never ended")


async def confirm_pages(connection: asyncpg.Connection, alert_id: UUID, limit: int = 7) -> None:
    """The pages of each state are those of all states, filtered; so is the stream."""
    everybody = [one async for one in stream_deliveries(connection, alert_id)]
    for state in DeliveryState:
        found, cursor = [], None
        while True:
            page = await deliveries(connection, alert_id, state=state, cursor=cursor, limit=limit)
            assert len(page.rows) <= limit
            found += page.rows
            cursor = page.next_cursor
            if cursor is None:
                break
        wanted = [one for one in everybody if one.state is state]
        # Nothing else of a delivery depends on how it was found.
        assert [(one.recipient_id, one.attempt, one.reason) for one in found] == [
            (one.recipient_id, one.attempt, one.reason) for one in wanted
        ]
        assert [one async for one in stream_deliveries(connection, alert_id, state=state)] == wanted


async def test_pages_of_a_state_hold_the_same_people_before_and_after_they_are_listed(
    sparse_alert: UUID, connection: asyncpg.Connection
) -> None:
    await confirm_pages(connection, sparse_alert)
    await keep_up(connection)
    assert await connection.fetchval("SELECT count(DISTINCT state) FROM chunk_lists") >= 4
    await confirm_pages(connection, sparse_alert)
    assert (await rebuild_check(connection)).faults == []
    assert (await verify(connection)).faults == []


async def test_a_list_that_something_changed_since_is_not_believed(
    sparse_alert: UUID, recorder: RecorderWithoutKafka, connection: asyncpg.Connection
) -> None:
    await keep_up(connection)
    page = await deliveries(connection, sparse_alert, state=DeliveryState.SUBMITTED)
    one, other = page.rows[0].recipient_id, page.rows[1].recipient_id
    undelivered = (await deliveries(connection, sparse_alert, state=DeliveryState.UNDELIVERED)).rows[0].recipient_id
    # As many leave a state as come into it: the numbers alone would not show it.
    await recorder.write(
        [accepted(sparse_alert, undelivered, attempt=2, message_id="again")],
        [receipt(one, ReceiptState.DELIVERED), receipt(other, ReceiptState.UNDELIVERABLE)],
    )
    await confirm_pages(connection, sparse_alert)
    await keep_up(connection)
    await confirm_pages(connection, sparse_alert)
    assert (await rebuild_check(connection)).faults == []


async def test_who_is_listed_is_found_without_reading_the_others(
    sparse_alert: UUID, connection: asyncpg.Connection
) -> None:
    await keep_up(connection)
    # Were anybody else's attempt read, there would be a code that stands for nothing.
    await connection.execute("UPDATE attempts SET outcome = 99 WHERE receipt_state = 80")
    for state in (DeliveryState.SUBMITTED, DeliveryState.UNDELIVERED, DeliveryState.QUEUED, DeliveryState.EXPIRED):
        page = await deliveries(connection, sparse_alert, state=state)
        assert bool(page.rows) is (state is not DeliveryState.EXPIRED)
    with pytest.raises(KeyError):
        await deliveries(connection, sparse_alert)


async def test_an_alert_of_an_older_version_is_counted_by_chunk_while_it_is_recorded(
    sparse_alert: UUID, recorder: RecorderWithoutKafka, connection: asyncpg.Connection
) -> None:
    await connection.execute("DELETE FROM chunk_counters")
    await connection.execute("INSERT INTO chunk_counters SELECT DISTINCT alert_id, -1, -2, 101, 1 FROM counters")
    await confirm_pages(connection, sparse_alert)
    upkeep = Upkeep()
    assert not await upkeep.work(connection, budget_seconds=0)
    page = await deliveries(connection, sparse_alert, state=DeliveryState.SUBMITTED)
    await recorder.write(receipts=[receipt(one.recipient_id, ReceiptState.DELIVERED) for one in page.rows[::2]])
    await keep_up(connection)
    assert not await connection.fetchval("SELECT count(*) FROM chunk_counters WHERE chunk = -1")
    assert (await rebuild_check(connection)).faults == []
    assert (await verify(connection)).faults == []
    await confirm_pages(connection, sparse_alert)


async def test_statuses_of_an_audience_that_is_stored_later_are_counted_by_chunk(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make(range(1, 10))
    await connection.execute("CREATE TABLE kept AS SELECT * FROM chunks")
    await connection.execute("DELETE FROM chunks")
    await recorder.write([accepted(alert_id, one) for one in range(1, 6)])
    await connection.execute("INSERT INTO chunks SELECT * FROM kept")
    await confirm_pages(connection, alert_id)
    await recorder.write([accepted(alert_id, 6)])
    await keep_up(connection)
    assert (await rebuild_check(connection)).faults == []
    await confirm_pages(connection, alert_id)


async def test_a_page_that_looks_for_long_ends_and_names_where(
    sparse_alert: UUID, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE_SECONDS", 0.0)
    await confirm_pages(connection, sparse_alert, limit=1_000)


async def test_two_spellings_of_an_alert_id_in_one_batch_are_one_alert(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    alert_id = await alerts.make([1, 2, 3])
    upper = accepted(alert_id, 2)
    upper.alert_id = upper.alert_id.upper()
    await recorder.write([accepted(alert_id, 1), upper], [receipt(2, ReceiptState.DELIVERED)])
    assert (await rebuild_check(connection)).faults == []


async def test_the_routes_of_a_few_queued_among_many_chunks_are_all_found(
    recorder: RecorderWithoutKafka, alerts: Alerts, connection: asyncpg.Connection
) -> None:
    people = list(range(1, 201))
    await connection.execute(
        "INSERT INTO recipients (id, msisdn) OVERRIDING SYSTEM VALUE "
        "SELECT g, CASE g WHEN 77 THEN '+44' ELSE '+49' END || g FROM unnest($1::bigint[]) g",
        people,
    )
    alert_id = await alerts.make(people, chunk_size=2)
    await recorder.write([accepted(alert_id, one) for one in people if one not in {76, 77}])
    routes = tuple(
        Route(name=name, prefixes=(prefix,), accounts=(Account(name=name, host="h", port=2775, system_id="s"),))
        for name, prefix in (("home", "+49"), ("abroad", "+44"))
    )
    found = await find_queued_routes(connection, alert_id, routes)
    assert found.complete
    assert {route.route: route.queued for route in found.routes} == {"home": 1, "abroad": 1}
