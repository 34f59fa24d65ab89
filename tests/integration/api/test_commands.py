"""The commands `alert`, `keys`, `database` and `test-send` against a served API."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from click.testing import CliRunner, Result

from broadcast.cap import freshen, read_cap, write_cap
from broadcast.cli import root
from broadcast.clock import utc_now
from broadcast.errors import BroadcastError, InputError
from schemas.alert import read_event

from .conftest import Api, NewAlert, Prepared, Served

EXAMPLES = Path(__file__).parents[3] / "examples"

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(api: Api, tmp_path: Path) -> Run:
    """Runs `broadcast ARGUMENTS` in a thread, with the settings of the test."""

    async def run(*arguments: str, stdin: bytes | None = None, **settings: str) -> Result:
        environment = {
            "BROADCAST_DATA_DIR": str(tmp_path),
            "BROADCAST_DATABASE_URL": api.settings.database_url.get_secret_value(),
            "BROADCAST_API_URL": api.url,
            "BROADCAST_API_KEY": api.token,
            "BROADCAST_LOG_LEVEL": "ERROR",
        } | settings
        return await asyncio.to_thread(CliRunner().invoke, root, list(arguments), input=stdin, env=environment)

    return run


async def test_publish_xml_json_and_stdin(api: Api, run: Run, tmp_path: Path) -> None:
    alert, _ = read_cap((EXAMPLES / "flood.xml").read_bytes())
    alert = freshen(alert, f"flood-{uuid4().hex}", utc_now(), 3600)
    xml, as_json = tmp_path / "alert", tmp_path / "alert.txt"
    xml.write_bytes(write_cap(alert))
    as_json.write_text("\ufeff \n" + alert.model_dump_json(by_alias=True, exclude_none=True), encoding="utf-8")
    first = await run("alert", "publish", "--no-wait", str(xml), "--idempotency-key", "k1")
    assert first.exit_code == 0, first.output
    again = json.loads((await run("alert", "publish", "--no-wait", "-", "--json", stdin=write_cap(alert))).stdout)
    assert first.stdout.split()[0] == again["alert_id"]
    assert (await run("alert", "publish", "--no-wait", str(as_json))).stdout.split()[0] == again["alert_id"]
    (record,) = await api.records(api.names.alerts)
    assert read_event(record.value, record.key).alert == alert


async def test_now_publishes_an_old_file_as_a_new_alert_each_time(api: Api, run: Run) -> None:
    ids = set()
    for name in ("flood.xml", "flood.json", "flood.json"):
        published = await run("alert", "publish", "--no-wait", "--now", "--json", str(EXAMPLES / name))
        assert published.exit_code == 0, published.output
        assert "sent: 2030-03-01T06:00:00-00:00 -> " in published.stderr
        ids.add(json.loads(published.stdout)["alert_id"])
    assert len(ids) == 3
    assert {str(read_event(record.value, record.key).alert_id) for record in await api.records(api.names.alerts)} == ids


async def test_refusals_name_field_and_rule(run: Run, tmp_path: Path, new_alert: NewAlert) -> None:
    file = tmp_path / "alert.json"
    file.write_text(json.dumps(new_alert(status="Real")))
    refused = await run("alert", "publish", str(file))
    assert isinstance(refused.exception, InputError)
    assert refused.exception.findings[0][:2] == ("status", "6.2")
    file.write_text("hello")
    for arguments, said in (
        (("alert", "publish", str(file)), "CAP 1.2 XML"),
        (("alert", "publish", str(tmp_path / "none")), "No such file"),
        (("alert", "show", str(uuid4())), "HTTP 404"),
        (("alert", "cancel", str(uuid4())), "HTTP 404"),
    ):
        result = await run(*arguments)
        assert isinstance(result.exception, BroadcastError)
        assert said in str(result.exception)


async def test_without_key_or_api_the_message_says_what_to_do(run: Run) -> None:
    refused = await run("alert", "list", BROADCAST_API_KEY="tocsin_x.y")
    assert "HTTP 401" in str(refused.exception)
    away = await run("alert", "list", BROADCAST_API_URL="http://127.0.0.1:9")
    assert "BROADCAST_API_URL" in str(away.exception)


async def test_list_show_and_cancel(api: Api, run: Run, tmp_path: Path, new_alert: NewAlert) -> None:
    file = tmp_path / "alert.json"
    file.write_text(json.dumps(new_alert()))
    alert_id = json.loads((await run("alert", "publish", "--no-wait", str(file), "--json")).stdout)["alert_id"]
    assert json.loads((await run("alert", "show", alert_id, "--json")).stdout)["state"] == "accepted"
    assert alert_id in (await run("alert", "show", alert_id)).stdout
    cancelled = await run("alert", "cancel", alert_id, "--reason", "wrong", "--json")
    assert json.loads(cancelled.stdout)["state"] == "cancelled"
    assert [record.key.decode() for record in await api.records(api.names.control)] == [f"{alert_id}/stop"]
    connection = await asyncpg.connect(api.settings.database_url.get_secret_value())
    try:
        await connection.execute(
            """
            INSERT INTO alerts (alert_id, state, reason, lane, sender, identifier, sent, status, msg_type, document,
                                digest, groups, event_offset, actor, expires_at, accepted_at)
            SELECT gen_random_uuid(), 'refused', 'group x is missing', 'routine', 's', 'alert-' || n, now(), 'Test',
                   'Alert', '{}', '', '{x}', 0, 'anna', now(), now() - (3600 + n) * interval '1 s'
            FROM generate_series(1, 3) n
            """
        )
    finally:
        await connection.close()
    waiting, first = (await run("alert", "list", "--json", "--limit", "2")).stdout.splitlines()
    assert (json.loads(waiting)["alert_id"], json.loads(waiting)["state"]) == (alert_id, "cancelled")
    assert json.loads(first)["identifier"] == "alert-1"
    lines = (await run("alert", "list", "--json", "--limit", "2", "--state", "refused")).stdout.splitlines()
    assert [json.loads(line)["identifier"] for line in lines] == ["alert-1", "alert-2"]
    assert (await run("alert", "list", "--state", "sending", "--json")).stdout == ""
    table = (await run("alert", "list", "--state", "refused")).stdout
    assert all(f"alert-{number}" in table for number in (1, 2, 3))
    refused = json.loads(lines[0])["alert_id"]
    watched = (await run("alert", "watch", refused, "--json")).stdout.splitlines()
    assert [json.loads(line)["state"] for line in watched] == ["refused"]
    shown = await run("alert", "watch", refused)
    assert "refused" in shown.stdout
    assert shown.exit_code == 3


async def test_keys_are_shown_once(run: Run) -> None:
    made = json.loads((await run("keys", "create", "bob", "--json")).stdout)
    assert made["key"].startswith(made["id"] + ".")
    plain = await run("keys", "create", "carla")
    assert len(plain.stdout.splitlines()) == 1
    listed = json.loads((await run("keys", "list", "--json")).stdout)
    assert {key["name"] for key in listed} == {"anna", "bob", "carla"}
    assert made["key"] not in json.dumps(listed)
    assert "bob" in (await run("keys", "list")).stdout
    assert "revoked" in (await run("keys", "revoke", "bob")).stdout
    assert (await run("keys", "revoke", "bob")).exit_code == 1


async def test_migrating_twice_is_harmless(run: Run) -> None:
    for _ in range(2):
        assert (await run("database", "migrate")).exit_code == 0
    away = await run("database", "migrate", BROADCAST_DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
    assert "BROADCAST_DATABASE_URL" in str(away.exception)


ROUTES = """
[[routes]]
name = "german"
prefixes = ["+49"]
live = {live}
[[routes.accounts]]
name = "operator"
host = "127.0.0.1"
port = 2775
system_id = "x"
"""


async def test_test_send_uses_a_test_route_or_none(prepared: Prepared, served: Served, tmp_path: Path) -> None:
    settings, token = prepared
    routes = tmp_path / "routes.toml"
    for live, status in (("false", 202), ("true", 422)):
        routes.write_text(ROUTES.format(live=live))
        async with served(settings.model_copy(update={"routes_file": routes}), token) as api:
            await api.until_ready()
            sent = await api.http.post("/v1/test-messages", json={"number": "+49 151 23456789", "text": "Hello"})
            assert sent.status_code == status, sent.text
            if status == 422:
                assert "test route" in sent.json()["detail"]
                assert len(await api.records(api.names.alerts)) == 3
                continue
            aimed = await api.http.post("/v1/test-messages", json={"number": "+4915123456789", "account": "operator"})
            assert (aimed.status_code, aimed.json()["account"]) == (202, "operator")
            nowhere = await api.http.post("/v1/test-messages", json={"number": "0170 1234567"})
            assert nowhere.status_code == 422
            assert nowhere.json()["detail"].startswith("number ••••••••••67 has no country code")
            assert "write it with + and its country code" in nowhere.json()["detail"]
            wrong = await api.http.post("/v1/test-messages", json={"number": "+4915123456789", "account": "opeator"})
            assert wrong.status_code == 422
            assert "'opeator' is no account of route german that sends; choose one of: operator" in wrong.text
            again = await api.http.post("/v1/test-messages", json={"number": "+49 (151) 23456789"})
            body = sent.json()
            assert body["recipient_id"] == again.json()["recipient_id"]
            assert body["alert_id"] != again.json()["alert_id"]
            record = (await api.records(api.names.alerts))[0]
            alert = read_event(record.value, record.key).alert
            assert alert is not None
            assert (alert.status, alert.groups) == ("Test", (f"test-send-{body['recipient_id']}",))
            assert b"23456789" not in record.value
            groups = (await api.http.get("/v1/groups")).json()["groups"]
            assert groups == [
                {"name": f"test-send-{body['recipient_id']}", "members": 1, "children": [], "looks_like": []}
            ]
