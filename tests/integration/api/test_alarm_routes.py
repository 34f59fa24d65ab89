"""The open alarms over HTTP, as `broadcast alert watch` reads them."""

import asyncpg

from broadcast.alarms import BIND_DOWN, SUM_GAP, clear_alarms, raise_alarm
from tests.integration.api.conftest import Api


async def test_open_alarms_are_listed_and_cleared_ones_are_not(api: Api) -> None:
    connection = await asyncpg.connect(api.settings.database_url.get_secret_value())
    try:
        await raise_alarm(connection, SUM_GAP, "an alert", "one too many")
        await raise_alarm(connection, BIND_DOWN, "acc, sender a", "refused")
        listed = (await api.http.get("/v1/alarms")).json()["alarms"]
        assert [(alarm["kind"], alarm["subject"], alarm["detail"]) for alarm in listed] == [
            (SUM_GAP, "an alert", "one too many"),
            (BIND_DOWN, "acc, sender a", "refused"),
        ]
        assert [alarm["runbook"] for alarm in listed] == [
            f"docs/how-to/alarms.md#{kind}" for kind in (SUM_GAP, BIND_DOWN)
        ]
        await clear_alarms(connection, [listed[0]["id"]], "anna")
        assert [alarm["kind"] for alarm in (await api.http.get("/v1/alarms")).json()["alarms"]] == [BIND_DOWN]
    finally:
        await connection.close()


async def test_alarms_need_a_key(api: Api) -> None:
    assert (await api.http.get("/v1/alarms", headers={"Authorization": "Bearer none"})).status_code == 401
