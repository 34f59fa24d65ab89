"""The audit over HTTP, of an alert whose audience is stored and of which nothing was sent yet."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from broadcast.audience import resolve
from broadcast.smpp.codec.command_status import RMSGQFUL

from .conftest import Api, Served

PEOPLE = 25


@pytest.fixture
async def alert_id(api: Api) -> AsyncIterator[UUID]:
    """An alert with an audience of 25, two of them suppressed, in chunks of 10."""
    alert_id = uuid4()
    connection = await asyncpg.connect(api.settings.database_url.get_secret_value())
    try:
        await connection.execute(
            f"""
            INSERT INTO recipients (msisdn, suppressed)
            SELECT '+4915100000' || (100 + n), CASE WHEN n < 2 THEN 'asked for it' END
            FROM generate_series(0, {PEOPLE - 1}) n;
            INSERT INTO groups (name) VALUES ('river');
            INSERT INTO group_members SELECT groups.id, recipients.id FROM groups, recipients;
            """
        )
        audience = await resolve(connection, alert_id, ["river"], chunk_size=10, participants_only=False)
        await connection.execute(
            """
            INSERT INTO alerts (alert_id, state, lane, sender, identifier, sent, status, msg_type, document, digest,
                                groups, event_offset, actor, expires_at, accepted_at, audience, suppressed, chunks,
                                chain)
            VALUES ($1, 'sending', 'immediate', 's', 'i', now(), 'Actual', 'Alert', '{}', '', '{river}', 0, 'anna',
                    now() + interval '1 hour', now(), $2, $3, $4, $5)
            """,
            *(alert_id, audience.count, audience.suppressed, audience.chunks, audience.chain),
        )
        yield alert_id
    finally:
        await connection.close()


async def test_summary_adds_up_to_the_audience(api: Api, alert_id: UUID) -> None:
    for exact in ("false", "true"):
        body = (await api.http.get(f"/v1/alerts/{alert_id}/summary", params={"exact": exact})).json()
        assert (body["audience"], body["gap"], body["state"]) == (PEOPLE, 0, "sending")
        assert (body["counts"]["queued"], body["counts"]["suppressed"]) == (PEOPLE - 2, 2)
        assert sum(body["counts"].values()) == PEOPLE


async def test_deliveries_are_paged_and_filtered(api: Api, alert_id: UUID) -> None:
    seen: list[int] = []
    cursor = None
    while True:
        parameters: dict[str, str | int] = {"limit": 7, "state": "queued"}
        if cursor:
            parameters["cursor"] = cursor
        page = (await api.http.get(f"/v1/alerts/{alert_id}/deliveries", params=parameters)).json()
        seen += [delivery["recipient_id"] for delivery in page["deliveries"]]
        assert {delivery["state"] for delivery in page["deliveries"]} == {"queued"}
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == sorted(set(seen))
    assert len(seen) == PEOPLE - 2
    page = await api.http.get(f"/v1/alerts/{alert_id}/deliveries", params={"state": "suppressed"})
    assert [delivery["reason"] for delivery in page.json()["deliveries"]] == ["asked for it"] * 2
    assert "+49" not in page.text
    wrongs: tuple[dict[str, str | int], ...] = ({"state": "asleep"}, {"limit": 0}, {"cursor": "x"})
    for wrong in wrongs:
        assert (await api.http.get(f"/v1/alerts/{alert_id}/deliveries", params=wrong)).status_code == 422


async def test_history_of_somebody_in_the_audience_and_of_a_stranger(api: Api, alert_id: UUID) -> None:
    page = (await api.http.get(f"/v1/alerts/{alert_id}/deliveries", params={"state": "suppressed"})).json()
    recipient_id = page["deliveries"][0]["recipient_id"]
    body = (await api.http.get(f"/v1/alerts/{alert_id}/recipients/{recipient_id}/history")).json()
    assert [event["kind"] for event in body["events"]] == ["audience"]
    assert body["events"][0]["facts"]["suppressed"] == "asked for it"
    stranger = await api.http.get(f"/v1/alerts/{alert_id}/recipients/{2**40}/history")
    assert (stranger.status_code, stranger.json()["type"]) == (404, "urn:tocsin:problem:recipient-unknown")


async def test_groups_are_listed(api: Api, alert_id: UUID) -> None:
    body = (await api.http.get("/v1/groups")).json()
    assert body["groups"] == [{"name": "river", "members": PEOPLE, "children": [], "looks_like": []}]


async def test_unknown_alert_is_404_in_the_audit(api: Api) -> None:
    for path in ("summary", "deliveries", "recipients/1/history"):
        response = await api.http.get(f"/v1/alerts/{uuid4()}/{path}")
        assert (response.status_code, response.json()["type"]) == (404, "urn:tocsin:problem:alert-unknown")


async def add_chunks(api: Api, alert_id: UUID, chunks: int) -> None:
    """Until so many hold somebody queued."""
    connection = await asyncpg.connect(api.settings.database_url.get_secret_value())
    try:
        await connection.execute(
            "INSERT INTO chunks (alert_id, chunk, first_id, last_id, count, recipients, digest, chain) "
            "SELECT $1, c, 1000 + c, 1000 + c, 1, ARRAY[1000 + c], '', '' FROM generate_series("
            "(SELECT max(chunk) + 1 FROM chunks WHERE alert_id = $1), $2::bigint - 1) c",
            alert_id,
            chunks,
        )
    finally:
        await connection.close()


async def test_the_routes_of_the_queued_are_told_with_prefixes_and_accounts_and_no_other(
    api: Api, alert_id: UUID, served: Served, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(api.settings.database_url.get_secret_value())
    try:
        # All who stay German have an answer; the British have none.
        await connection.execute("UPDATE recipients SET msisdn = '+4477' || right(msisdn, 8) WHERE id % 25 >= 15")
        await connection.execute(
            """
            INSERT INTO attempts (alert_id, recipient_id, number_hash, evidence_id, error, answered_at, attempt,
                                  segment, segments, outcome, possible_duplicate,
                                  only_attempt)
            SELECT $1, id, 0, 1, 0, now(), 1, 1, 1, 1, false, true FROM recipients WHERE msisdn LIKE '+49%'
            """,
            alert_id,
        )
        # One of the British was refused for now twice, because its queue is full.
        await connection.execute("INSERT INTO accounts (name) VALUES ('british-1')")
        await connection.execute(
            """
            INSERT INTO attempts (alert_id, recipient_id, number_hash, evidence_id, error, answered_at, attempt,
                                  segment, segments, outcome, possible_duplicate, only_attempt, account, reason)
            SELECT $1, min(id), 0, 1, $2, '2026-01-02T03:04:00Z'::timestamptz + tried * interval '10 s', tried,
                   1, 1, 3, false, false, (SELECT id FROM accounts), 'the queue is full'
            FROM recipients, generate_series(1, 2) AS tried WHERE msisdn LIKE '+44%' GROUP BY tried
            """,
            alert_id,
            RMSGQFUL,
        )
    finally:
        await connection.close()
    routes = "".join(
        f'[[routes]]\nname = "{name}"\nprefixes = ["{prefix}"]\nlive = true\n[[routes.accounts]]\n'
        f'name = "{name}-1"\nhost = "h"\nport = 2775\nsystem_id = "{name}"\n'
        for name, prefix in (("german", "+49"), ("british", "+44"), ("french", "+33"))
    )
    (tmp_path / "routes.toml").write_text(routes)
    settings = api.settings.model_copy(update={"routes_file": tmp_path / "routes.toml", "api_port": 0})
    async with served(settings, api.token) as other:
        await other.until_ready()
        body = (await other.http.get(f"/v1/alerts/{alert_id}/queued-routes")).json()
        waiting = {"reason": "the queue is full", "recipients": 1, "next_try_at": "2026-01-02T03:04:50Z"}
        british: dict[str, object] = {"route": "british", "prefixes": ["+44"], "accounts": ["british-1"]}
        british |= {"simulated": False, "queued": 10, "waiting": [waiting]}
        assert body == {"routes": [british], "complete": True}
        await add_chunks(api, alert_id, 21)
        body = (await other.http.get(f"/v1/alerts/{alert_id}/queued-routes")).json()
        assert body["complete"] is False, "of 21 chunks 20 are read"
        assert (await other.http.get(f"/v1/alerts/{uuid4()}/queued-routes")).status_code == 404
