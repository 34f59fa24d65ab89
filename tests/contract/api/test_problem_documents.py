"""Every error of the API over ASGI: its status, its type, the field and the rule it names. No server is there."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from broadcast.alerts.publishing import digest_of, request_id_of
from broadcast.api.access import BODY_BYTES_MAX
from broadcast.api.app import make_app
from broadcast.api.register import Published
from broadcast.api.services import Services
from broadcast.clock import utc_now
from broadcast.health import Health
from broadcast.settings import Settings
from schemas.alert import ALERT_BYTES_MAX, Alert, alert_id_of

EXAMPLES = Path(__file__).parents[3] / "examples"
TOKEN = "tocsin_ab.secret"
NOWHERE = "127.0.0.1:9"
SOME_ID = "9d135dec-26f3-4b75-9735-23a69a664b4c"


@dataclass
class Api:
    http: httpx.AsyncClient
    services: Services

    async def publish(self, content: Any, **headers: str) -> httpx.Response:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        given = {"content-type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
        return await self.http.post("/v1/alerts", content=body, headers=given)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    settings = Settings(kafka_bootstrap=NOWHERE, database_url=SecretStr(f"postgresql://nobody@{NOWHERE}/none"))
    services = await Services.create(settings, Health("api"))
    services.keyring.replace({"tocsin_ab": ("anna", sha256(b"secret").digest())})
    services.register.complete.set()
    transport = httpx.ASGITransport(make_app(services), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as http:
        yield Api(http, services)
    await services.close()


def alert(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "identifier": uuid4().hex,
        "sender": "flood@example.org",
        "sent": utc_now().strftime("%Y-%m-%dT%H:%M:%S-00:00"),
        "status": "Actual",
        "msgType": "Alert",
        "scope": "Public",
        "groups": ["river"],
        "info": [info()],
    }
    return {name: value for name, value in (content | changes).items() if value is not None}


def info(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "category": ["Met"],
        "event": "Flood",
        "urgency": "Immediate",
        "severity": "Extreme",
        "certainty": "Likely",
    }
    return content | changes


def check(response: httpx.Response, status: int, slug: str, **finding: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["type"]) == (status, f"urn:tocsin:problem:{slug}"), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert body["status"] == status
    assert body["detail"]
    assert body["instance"] == f"urn:tocsin:request:{response.headers['x-request-id']}"
    if finding:
        found = [{name: entry[name] for name in finding} for entry in body["findings"]]
        assert finding in found
    return body


async def test_no_key_and_wrong_keys(api: Api) -> None:
    for header, slug in (
        ({}, "no-key"),
        ({"Authorization": "Basic YTpi"}, "no-key"),
        ({"Authorization": "Bearer nonsense"}, "wrong-key"),
        ({"Authorization": "Bearer tocsin_ab.wrong"}, "wrong-key"),
    ):
        request = api.http.build_request("POST", "/v1/alerts", json=alert())
        request.headers.pop("Authorization")
        request.headers.update(header)
        response = await api.http.send(request)
        check(response, 401, slug)
        assert response.headers["www-authenticate"].startswith("Bearer")


async def test_every_route_but_probes_and_documents_wants_a_key(api: Api) -> None:
    api.http.headers.pop("Authorization")
    document = (await api.http.get("/v1/openapi.json")).json()
    open_paths = {"/healthz", "/readyz", "/metrics"}
    for path, operations in document["paths"].items():
        for method in operations:
            response = await api.http.request(method, path.format(alert_id=uuid4(), recipient_id=1), json={})
            assert (response.status_code == 401) is (path not in open_paths), path


@pytest.mark.parametrize("path", ["/v1/alerts", f"/v1/alerts/{SOME_ID}/cancel", "/v1/test-messages"])
async def test_of_a_caller_without_a_key_no_body_is_read(api: Api, path: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    del api.http.headers["Authorization"]
    response = await api.http.post(path, content=body(), headers={"Content-Type": "application/json"})
    check(response, 401, "no-key")


@pytest.mark.parametrize("path", ["/v1/alerts", f"/v1/alerts/{SOME_ID}/cancel", "/v1/test-messages"])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"reason": "a", "reason": "b"}', "the key 'reason' twice"),
        (b'{"status": "Test", "status": "Actual"}', "the key 'status' twice"),
        (b'{"number": NaN}', "holds NaN"),
        (b'{"number": %b}' % (b"1" * 5_000), "a number of 5000 characters"),
    ],
)
async def test_json_that_can_be_read_in_two_ways_is_refused(api: Api, path: str, body: bytes, reason: str) -> None:
    response = await api.http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert reason in response.json()["detail"]


async def test_keys_not_loaded_is_not_a_wrong_key(api: Api) -> None:
    api.services.keyring.loaded = False
    api.services.keyring._hashes = {}
    response = await api.publish(alert())
    check(response, 503, "keys-unavailable")
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
async def test_media_types(api: Api, media_type: str) -> None:
    response = await api.publish(alert(), content_type=media_type)
    check(response, 415, "unsupported-media-type")
    assert "application/cap+xml" in response.headers["accept-post"]


async def test_neither_xml_nor_json(api: Api) -> None:
    check(await api.publish(b"{"), 400, "not-readable", field="", rule="json")
    check(await api.publish(b"[1]"), 400, "not-readable", rule="json")
    check(await api.publish(b""), 400, "not-readable", rule="json")
    check(await api.publish(b"<alert>", content_type="application/cap+xml"), 400, "not-readable", rule="xml")


async def test_too_many_bytes_declared_and_not(api: Api) -> None:
    too_many = b"x" * (ALERT_BYTES_MAX + 1)
    check(await api.publish(too_many), 413, "alert-too-large", rule="R22")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(ALERT_BYTES_MAX // 65_536 + 1):
            yield b" " * 65_536

    response = await api.http.post("/v1/alerts", content=pieces(), headers={"content-type": "application/json"})
    check(response, 413, "alert-too-large", rule="R22")


async def test_an_event_that_readers_would_refuse_is_too_large(api: Api) -> None:
    content = alert()
    room = ALERT_BYTES_MAX - len(json.dumps(content)) - 60
    body = json.dumps(content | {"note": "x" * room}).encode()
    assert len(body) <= ALERT_BYTES_MAX
    check(await api.publish(body), 413, "alert-too-large", rule="R22")


@pytest.mark.parametrize(
    ("changes", "field", "rule"),
    [
        ({"status": "Real"}, "status", "6.2"),
        ({"msgType": "Broadcast"}, "msgType", "6.2"),
        ({"identifier": "a b"}, "identifier", "R1"),
        ({"identifier": None}, "identifier", "6.1"),
        ({"sent": "2026-11-22T12:00:00Z"}, "sent", "R2"),
        ({"scope": "Private", "groups": []}, "", "R5"),
        ({"msgType": "Update"}, "", "R6"),
        ({"severty": "Extreme"}, "severty", "R21"),
        ({"groups": []}, "addresses", "R5"),
        ({"groups": None}, "addresses", "R5"),
        ({"info": []}, "info", "6.1"),
        ({"info": [info(urgency="Now")]}, "info[0].urgency", "6.2"),
        ({"info": [info(expires="2020-01-01T00:00:00-00:00", effective=None)]}, "info.expires", "R8"),
        ({"info": [info(instruction="x" * 5000)]}, "info[0]", "segments"),
        ({"status": "System"}, "status", "6.2"),
        ({"status": "Draft"}, "status", "6.2"),
        ({"msgType": "Ack", "references": "a@b.org,1,2026-11-22T12:00:00-00:00"}, "status", "6.2"),
        (
            {"info": [info(area=[{"areaDesc": "x", "polygon": ["0,0 1,1 1,0 0,1 0,0"]}])]},
            "info[0].area[0].polygon[0]",
            "R11",
        ),
    ],
)
async def test_what_breaks_a_rule_names_field_and_rule(api: Api, changes: Any, field: str, rule: str) -> None:
    check(await api.publish(alert(**changes)), 422, "invalid-alert", field=field, rule=rule)


async def test_ceilings_on_nodes_depth_and_points(api: Api) -> None:
    cap = (EXAMPLES / "flood.xml").read_text()
    many = cap.replace("<scope>", "<note>" + "<b/>" * 20_001 + "</note><scope>")
    deep = cap.replace("<scope>", "<note>" + "<b>" * 20 + "</b>" * 20 + "</note><scope>")
    doctype = cap.replace("<alert", '<!DOCTYPE alert [<!ENTITY a "b">]><alert', 1)
    for document, said in ((many, "elements"), (deep, "levels"), (doctype, "DOCTYPE")):
        body = check(
            await api.publish(document.encode(), content_type="application/cap+xml"), 422, "invalid-alert", rule="R22"
        )
        assert said in body["detail"]
    points = " ".join(["0,0"] * 10_001)
    area = [{"areaDesc": "x", "polygon": [points]}]
    check(await api.publish(alert(info=[info(area=area)])), 422, "invalid-alert", rule="R22")


async def test_cap_of_another_version_is_said_to_be_that(api: Api) -> None:
    cap = (EXAMPLES / "flood.xml").read_text().replace("cap:1.2", "cap:1.1")
    body = check(await api.publish(cap.encode(), content_type="text/xml"), 422, "invalid-alert", rule="R21")
    assert "CAP 1.1" in body["detail"]


async def test_same_name_other_content_is_a_conflict(api: Api) -> None:
    content = alert()
    known = Alert.model_validate(content)
    api.services.register.remember(Published(alert_id_of(known), digest_of(known)))
    body = check(await api.publish(content | {"note": "changed"}), 409, "alert-conflict", field="identifier", rule="L1")
    assert body["alert_id"] == str(alert_id_of(known))


async def test_same_key_other_alert(api: Api) -> None:
    known = Alert.model_validate(alert())
    api.services.register.remember(Published(alert_id_of(known), digest_of(known)), request_id_of("anna", "k1"))
    body = check(
        await api.publish(alert(), idempotency_key="k1"),
        422,
        "idempotency-key-reused",
        field="Idempotency-Key",
        rule="M5",
    )
    assert body["alert_id"] == str(alert_id_of(known))
    check(await api.publish(alert(), idempotency_key="x" * 256), 422, "invalid-input")


async def test_a_known_alert_is_answered_without_kafka(api: Api) -> None:
    content = alert()
    known = Alert.model_validate(content)
    api.services.register.remember(Published(alert_id_of(known), digest_of(known)))
    response = await api.publish(content)
    assert (response.status_code, response.json()["alert_id"]) == (202, str(alert_id_of(known)))
    assert response.headers["idempotency-replayed"] == "true"


async def test_kafka_away(api: Api) -> None:
    for response in (await api.publish(alert()), await api.http.post(f"/v1/alerts/{SOME_ID}/cancel")):
        check(response, 503, "kafka-unavailable")
        assert int(response.headers["retry-after"]) > 0


async def test_alerts_of_late_not_read_yet(api: Api) -> None:
    api.services.register.complete.clear()
    check(await api.publish(alert()), 503, "kafka-unavailable")


async def test_database_away(api: Api) -> None:
    for path in ("", f"/{uuid4()}", f"/{uuid4()}/summary", f"/{uuid4()}/document"):
        response = await api.http.get(f"/v1/alerts{path}")
        check(response, 503, "database-unavailable")
        assert int(response.headers["retry-after"]) > 0
    check(await api.http.get("/v1/groups"), 503, "database-unavailable")


async def test_paths_and_parameters(api: Api) -> None:
    check(await api.http.get("/v1/nothing"), 404, "not-found")
    check(await api.http.delete("/v1/alerts"), 405, "method-not-allowed")
    check(await api.http.get("/v1/alerts/no-uuid"), 422, "invalid-input", field="path.alert_id")
    check(await api.http.get("/v1/alerts?limit=0"), 422, "invalid-input", field="query.limit")
    check(await api.http.get("/v1/alerts?state=asleep"), 422, "invalid-input", field="query.state.0")
    check(await api.http.post(f"/v1/alerts/{SOME_ID}/cancel", json={"why": "x"}), 422, "invalid-input")
    check(await api.http.post("/v1/test-messages", json={"number": "not a number"}), 422, "invalid-input", rule="E.164")


@pytest.mark.parametrize("path", ["/v1/test-messages", f"/v1/alerts/{UUID(int=1)}/cancel", "/v1/alerts"])
async def test_no_more_of_a_body_is_read_than_a_caller_without_a_key_may_make_us_hold(api: Api, path: str) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(300):
            read += 65_536
            yield b" " * 65_536

    headers = {"Authorization": "Bearer tocsin_ab.wrong", "content-type": "application/json"}
    response = await api.http.post(path, content=body(), headers=headers)
    assert response.status_code in {401, 413}, response.text
    assert read <= BODY_BYTES_MAX + 65_536
    if response.status_code == 413:
        check(response, 413, "request-entity-too-large")


async def test_a_body_that_does_not_come_is_waited_for_only_so_long(api: Api) -> None:
    transport = httpx.ASGITransport(make_app(api.services, body_seconds=0.1))

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=api.http.headers) as http:
        check(await http.post("/v1/test-messages", content=body()), 408, "request-timeout")


async def test_a_test_message_that_no_phone_shows_is_refused(api: Api) -> None:
    answer = await api.http.post("/v1/test-messages", json={"number": "+4915123456789", "text": "a\0b"})
    check(answer, 422, "invalid-input", field="body.text")


async def test_a_wrong_setting_is_a_fault_that_the_log_names(api: Api) -> None:
    with capture_logs() as logs:
        check(await api.http.post("/v1/test-messages", json={"number": "+4915123456789"}), 500, "fault")
    [fault] = [entry for entry in logs if entry["log_level"] == "error"]
    assert "BROADCAST_ROUTES_FILE" in str(fault["exc_info"])


async def test_request_id_is_the_callers_if_it_is_plain(api: Api) -> None:
    for given, kept in (("abc-1", True), ("a b", False), ("x" * 65, False)):
        response = await api.http.get("/v1/nothing", headers={"X-Request-Id": given})
        assert (response.headers["x-request-id"] == given) is kept


async def test_a_fault_of_ours_is_a_problem_too_and_tells_nothing(api: Api) -> None:
    api.services.register = None  # type: ignore[assignment]
    body = check(await api.publish(alert()), 500, "fault")
    assert "register" not in json.dumps(body)


async def test_a_client_that_goes_before_its_body_is_there_is_no_fault_of_ours(api: Api) -> None:
    headers = [(b"authorization", f"Bearer {TOKEN}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/alerts", "query_string": b"", "headers": headers}

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(f"nobody is there for {message}")

    with capture_logs() as logs:
        await make_app(api.services)(scope, receive, send)
    assert [(line["event"], line["code"]) for line in logs] == [("request_answered", 499)]
