"""PostgreSQL away: publishing and cancelling go on. Kafka away: 503 in time, and nothing leaves later."""

import asyncio
import time
from uuid import uuid4

import asyncpg
import psutil

from broadcast.api.publisher import WRITE_BUDGET_SECONDS
from broadcast.api.services import KEYS_REFRESH_LEAST_SECONDS, KEYS_REFRESH_SECONDS
from broadcast.keys import create_key, revoke_key
from broadcast.settings import Settings
from tests.conftest import Brokers
from tests.support.waiting import eventually, remains

from .conftest import Api, NewAlert, Prepared, Served


async def test_publishing_and_cancelling_without_postgres(api: Api, new_alert: NewAlert, brokers: Brokers) -> None:
    before = (await api.http.post("/v1/alerts", json=new_alert())).json()["alert_id"]
    await brokers.postgres.kill9()
    try:
        slowest = 0.0
        for _ in range(5):
            began = time.perf_counter()
            assert (await api.http.post("/v1/alerts", json=new_alert())).status_code == 202
            slowest = max(slowest, time.perf_counter() - began)
        assert slowest < 1.0
        stranger = uuid4()  # without the directory nobody can say that it does not exist
        for alert_id in (before, stranger):
            assert (await api.http.post(f"/v1/alerts/{alert_id}/cancel")).status_code == 202
        assert (await api.http.get("/v1/alerts")).status_code == 503
        assert (await api.http.get("/readyz")).status_code == 200
        assert len(await api.records(api.names.alerts)) == 6 + 2
        stops = [record.key.decode() for record in await api.records(api.names.control)]
        assert stops == [f"{before}/stop", f"{stranger}/stop"]
    finally:
        await brokers.postgres.start()

    async def answered() -> bool:
        return (await api.http.get("/v1/alerts")).status_code == 200

    await eventually(answered, "alerts are listed again", within_seconds=10)


async def test_a_database_that_hangs_delays_no_alert_and_no_stop(
    api: Api, new_alert: NewAlert, brokers: Brokers
) -> None:
    before = (await api.http.post("/v1/alerts", json=new_alert())).json()["alert_id"]
    parent = psutil.Process(brokers.postgres.process.pid)
    frozen = [parent, *parent.children(recursive=True)]
    for process in frozen:
        process.suspend()
    try:
        for path, content in (("/v1/alerts", new_alert()), (f"/v1/alerts/{before}/cancel", None)):
            began = time.perf_counter()
            assert (await api.http.post(path, json=content)).status_code == 202
            assert time.perf_counter() - began < 1.5
    finally:
        for process in frozen:
            process.resume()


async def test_started_without_postgres_it_waits_and_says_so(
    prepared: Prepared, served: Served, new_alert: NewAlert, brokers: Brokers
) -> None:
    await brokers.postgres.kill9()
    try:
        async with served(*prepared) as api:
            async with asyncio.timeout(15):
                while set((report := (await api.http.get("/readyz")).json())["holds"]) != {"keys"}:
                    await asyncio.sleep(0.05)
            assert "PostgreSQL" in report["holds"]["keys"]
            refused = await api.http.post("/v1/alerts", json=new_alert())
            assert (refused.status_code, refused.json()["type"]) == (503, "urn:tocsin:problem:keys-unavailable")
            await brokers.postgres.start()
            await api.until_ready()
            assert (await api.http.post("/v1/alerts", json=new_alert())).status_code == 202
    finally:
        if not brokers.postgres.running:
            await brokers.postgres.start()


async def test_kafka_killed_is_503_in_time_and_what_was_refused_never_leaves(
    api: Api, new_alert: NewAlert, brokers: Brokers
) -> None:
    assert (await api.http.post("/v1/alerts", json=new_alert())).status_code == 202
    refused = [new_alert() for _ in range(3)]
    await brokers.kafka.kill9()
    try:
        began = time.perf_counter()
        answers = await asyncio.gather(*(api.http.post("/v1/alerts", json=content) for content in refused))
        assert {answer.status_code for answer in answers} == {503}
        assert time.perf_counter() - began < WRITE_BUDGET_SECONDS + 2
        began = time.perf_counter()
        assert (await api.http.post("/v1/alerts", json=new_alert())).status_code == 503
        assert time.perf_counter() - began < WRITE_BUDGET_SECONDS / 2, "it knows already"
        assert "kafka" in (await api.http.get("/readyz")).json()["holds"]
    finally:
        await brokers.kafka.start()
    await api.until_ready()
    following = new_alert()

    async def accepted() -> bool:
        return (await api.http.post("/v1/alerts", json=following)).status_code == 202

    await eventually(accepted, "the API publishes again", within_seconds=30)

    async def two_alerts() -> bool:
        return len(await api.records(api.names.alerts)) == 2

    await remains(two_alerts, "what was refused stays away", for_seconds=2)
    assert {(await api.http.post("/v1/alerts", json=content)).status_code for content in refused} == {202}
    assert len(await api.records(api.names.alerts)) == 5


async def test_new_keys_work_at_once_and_revoked_ones_soon_do_not(api: Api, settings: Settings) -> None:
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    try:
        _, token = await create_key(connection, "bob")
        bob = {"Authorization": f"Bearer {token}"}

        async def answer_is(code: int) -> bool:
            return (await api.http.get("/v1/alerts", headers=bob)).status_code == code

        # Before the refresh that comes anyhow; keys that are not known cause one a second.
        soon = KEYS_REFRESH_SECONDS / 2
        assert soon > KEYS_REFRESH_LEAST_SECONDS + 1
        await eventually(lambda: answer_is(200), "the key works", within_seconds=soon)
        await revoke_key(connection, "bob")
        await eventually(lambda: answer_is(401), "the key is refused", within_seconds=KEYS_REFRESH_SECONDS + 2)
    finally:
        await connection.close()


async def test_a_key_that_cannot_be_looked_up_is_not_called_wrong(
    api: Api, new_alert: NewAlert, settings: Settings
) -> None:
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    try:
        _, token = await create_key(connection, "bob")
        bob = {"Authorization": f"Bearer {token}"}
        alert_id = (await api.http.post("/v1/alerts", json=new_alert())).json()["alert_id"]
        path = f"/v1/alerts/{alert_id}/cancel"
        async with connection.transaction():
            await connection.execute("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE")
            answers = await asyncio.gather(*(api.http.post(path, headers=bob) for _ in range(3)))
            answers.append(await api.http.post(path, headers=bob))
            for answer in answers:
                assert (answer.status_code, answer.json()["type"]) == (503, "urn:tocsin:problem:keys-unavailable")
                assert "again" in answer.json()["detail"]
                assert int(answer.headers["retry-after"]) > 0
            assert (await api.http.post("/v1/alerts", json=new_alert())).status_code == 202, "a loaded key works"

        async def works() -> bool:
            return (await api.http.post(path, headers=bob)).status_code == 202

        await eventually(works, "the new key works", within_seconds=KEYS_REFRESH_SECONDS)
    finally:
        await connection.close()
