"""Publishing and cancelling over HTTP: what is on Kafka afterwards."""

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import msgspec
import pytest

from broadcast.alerts.publishing import digest_of, request_id_of
from broadcast.cap import freshen, read_cap, write_cap
from broadcast.clock import utc_now
from broadcast.kafka.clients import make_producer
from schemas.alert import Alert, AlertAction, alert_id_of, read_event
from schemas.control import Stop
from tests.support.waiting import eventually

from .conftest import Api, NewAlert, Prepared, Served

EXAMPLES = Path(__file__).parents[3] / "examples"


async def publish(api: Api, content: Any, **headers: str) -> httpx.Response:
    answer: httpx.Response = await api.http.post("/v1/alerts", json=content, headers=headers)
    return answer


async def store(
    api: Api, alert_id: UUID, state: str, *, digest: bytes = b"", accepted_at: datetime | None = None
) -> None:
    connection = await asyncpg.connect(api.settings.database_url.get_secret_value())
    try:
        await connection.execute(
            """
            INSERT INTO alerts (alert_id, state, lane, sender, identifier, sent, status, msg_type, document, digest,
                                groups, event_offset, actor, expires_at, accepted_at)
            VALUES ($1, $2, 'immediate', 's', $3, now(), 'Actual', 'Alert', '{}', $4, '{g}', 0, 'anna', now(), $5)
            """,
            *(alert_id, state, str(alert_id), digest, accepted_at or utc_now()),
        )
    finally:
        await connection.close()


async def test_a_query_parameter_that_is_misspelled_publishes_nothing(api: Api, new_alert: NewAlert) -> None:
    for query, said in (("groups=river&group=north", "known are by_area, groups"), ("groups=S%FCd", "is not UTF-8")):
        refused = await api.http.post(f"/v1/alerts?{query}", json=new_alert())
        assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
        assert said in refused.json()["detail"]
    assert await api.records(api.names.alerts) == []


async def test_accepted_json_is_on_kafka(api: Api, new_alert: NewAlert) -> None:
    content = new_alert()
    response = await publish(api, content, **{"Idempotency-Key": "k1"})
    body = response.json()
    alert = Alert.model_validate(content)
    assert (response.status_code, body["state"]) == (202, "accepted")
    assert UUID(body["alert_id"]) == alert_id_of(alert)
    assert response.headers["location"] == body["links"]["self"] == f"/v1/alerts/{body['alert_id']}"
    (record,) = await api.records(api.names.alerts)
    headers = dict(record.headers)
    event = read_event(record.value, record.key, record.headers)
    assert (event.event, event.actor, event.alert) == (AlertAction.SUBMITTED, "anna", alert)
    assert record.key.decode() == body["alert_id"]
    assert headers["ce_digest"].decode() == digest_of(alert).hex()
    assert json.loads(record.value)["alert"]["identifier"] == content["identifier"]
    shown = (await api.http.get(body["links"]["self"])).json()
    assert (shown["state"], shown["audience"]) == ("accepted", None)


async def test_accepted_xml_is_the_same_alert_as_its_json(api: Api) -> None:
    alert, _ = read_cap((EXAMPLES / "flood.xml").read_bytes())
    alert = freshen(alert, f"flood-{uuid4().hex}", utc_now(), 3600)
    for media_type in ("application/cap+xml", "text/xml; charset=utf-8", "application/xml"):
        response = await api.http.post("/v1/alerts", content=write_cap(alert), headers={"content-type": media_type})
        assert response.status_code == 202, response.text
        assert UUID(response.json()["alert_id"]) == alert_id_of(alert)
    assert (await publish(api, json.loads(alert.model_dump_json(by_alias=True, exclude_none=True)))).status_code == 202
    (record,) = await api.records(api.names.alerts)
    assert read_event(record.value, record.key).alert == alert


async def test_groups_can_be_named_beside_the_document_and_by_its_areas(
    served: Served, prepared: Prepared, new_alert: NewAlert, tmp_path: Path
) -> None:
    table = tmp_path / "areas.csv"
    table.write_text("name,value,group\nSAME,006037,la-county\n", encoding="utf-8")
    info = new_alert()["info"][0]
    area = {"areaDesc": "Los Angeles", "geocode": [{"valueName": "SAME", "value": "006037"}]}
    drawn = new_alert(groups=[], info=[info | {"area": [area]}])
    lost = new_alert(groups=[], info=[info | {"area": [area | {"areaDesc": "Sea", "geocode": []}]}])
    async with served(prepared[0].model_copy(update={"areas_file": table}), prepared[1]) as api:
        await api.until_ready()
        cap = write_cap(Alert.model_validate(new_alert(groups=[])))
        headers = {"content-type": "application/cap+xml"}
        first = await api.http.post("/v1/alerts?groups=river&groups=old%20town", content=cap, headers=headers)
        second = await api.http.post("/v1/alerts?by_area=true", json=drawn)
        refused = await api.http.post("/v1/alerts?by_area=true", json=lost)
        unnamed = await api.http.post("/v1/alerts?groups=", json=drawn)
        records = await api.records(api.names.alerts)
    assert (first.status_code, second.status_code) == (202, 202), first.text + second.text
    events = [read_event(record.value, record.key) for record in records]
    assert [event.alert.groups for event in events if event.alert] == [("river", "old town"), ("la-county",)]
    assert refused.status_code == unnamed.status_code == 422
    assert [(f["field"], f["rule"]) for f in refused.json()["findings"]] == [("info[0].area[0]", "areas")]


async def test_repetition_is_answered_the_same_and_published_once(api: Api, new_alert: NewAlert) -> None:
    content = new_alert()
    first = await publish(api, content, **{"Idempotency-Key": "k1"})
    again = [await publish(api, content, **{"Idempotency-Key": key}) for key in ("k1", "k2")] + [
        await publish(api, content)
    ]
    assert {response.status_code for response in again} == {202}
    assert {response.text for response in again} == {first.text}
    assert "idempotency-replayed" not in first.headers
    assert len(await api.records(api.names.alerts)) == 1


async def test_the_same_at_once_is_published_once(api: Api, new_alert: NewAlert) -> None:
    content = new_alert()
    responses = await asyncio.gather(*(publish(api, content, **{"Idempotency-Key": "k1"}) for _ in range(20)))
    assert {response.status_code for response in responses} == {202}
    assert len(await api.records(api.names.alerts)) == 1


async def test_conflicts_publish_nothing(api: Api, new_alert: NewAlert) -> None:
    content = new_alert()
    await publish(api, content, **{"Idempotency-Key": "k1"})
    assert (await publish(api, content | {"note": "changed"})).status_code == 409
    assert (await publish(api, new_alert(), **{"Idempotency-Key": "k1"})).status_code == 422
    assert len(await api.records(api.names.alerts)) == 1


async def test_another_replica_and_a_restart_know_what_was_published(
    api: Api, new_alert: NewAlert, served: Served, prepared: Prepared
) -> None:
    content = new_alert()
    first = await publish(api, content, **{"Idempotency-Key": "k1"})
    async with served(*prepared) as other:
        await other.until_ready()
        again = await publish(other, content, **{"Idempotency-Key": "k1"})
        assert (again.status_code, again.text) == (202, first.text)
        assert (await publish(other, new_alert(), **{"Idempotency-Key": "k1"})).status_code == 422
        later = new_alert()
        await publish(api, later)
        async with asyncio.timeout(20):
            while (await publish(other, later | {"note": "changed"})).status_code != 409:
                await asyncio.sleep(0.05)


async def test_alerts_older_than_the_memory_are_found_in_the_database(api: Api, new_alert: NewAlert) -> None:
    content = new_alert()
    alert = Alert.model_validate(content)
    await store(api, alert_id_of(alert), "completed", digest=digest_of(alert))
    assert (await publish(api, content)).headers["idempotency-replayed"] == "true"
    other = new_alert()
    await store(api, alert_id_of(Alert.model_validate(other)), "completed", digest=b"another")
    assert (await publish(api, other)).status_code == 409
    assert not await api.records(api.names.alerts)


async def test_cancel_writes_stop_and_event_before_it_answers(api: Api, new_alert: NewAlert) -> None:
    alert_id = (await publish(api, new_alert())).json()["alert_id"]
    response = await api.http.post(f"/v1/alerts/{alert_id}/cancel", json={"reason": "wrong river"})
    assert (response.status_code, response.json()["state"]) == (202, "cancelled")
    (stop,) = await api.records(api.names.control)
    said = msgspec.json.decode(stop.value, type=Stop)
    assert (stop.key.decode(), said.alert_id, said.actor, said.reason) == (
        f"{alert_id}/stop",
        alert_id,
        "anna",
        "wrong river",
    )
    event = read_event((record := (await api.records(api.names.alerts))[-1]).value, record.key, record.headers)
    assert (event.event, str(event.alert_id), event.reason) == (AlertAction.CANCELLED, alert_id, "wrong river")


async def test_a_stop_does_not_fail_on_what_was_pasted_into_its_reason(api: Api, new_alert: NewAlert) -> None:
    alert_id = (await publish(api, new_alert())).json()["alert_id"]
    body = {"reason": "wrong\u000briver\u0000\ufffe\n"}
    assert (await api.http.post(f"/v1/alerts/{alert_id}/cancel", json=body)).status_code == 202
    (stop,) = await api.records(api.names.control)
    assert msgspec.json.decode(stop.value, type=Stop).reason == "wrong river"


async def test_cancel_of_unknown_and_of_ended_alerts(api: Api) -> None:
    assert (await api.http.post(f"/v1/alerts/{uuid4()}/cancel")).status_code == 404
    for state in ("expired", "refused"):
        alert_id = uuid4()
        await store(api, alert_id, state)
        response = await api.http.post(f"/v1/alerts/{alert_id}/cancel")
        assert (response.status_code, response.json()["state"]) == (409, state)
    assert not await api.records(api.names.control)


async def test_a_cancel_stops_whatever_may_still_be_sent_and_says_so(api: Api) -> None:
    stopped = []
    for state in ("sending", "completed", "cancelled", "superseded"):
        stopped.append(alert_id := uuid4())
        await store(api, alert_id, state)
        response = await api.http.post(f"/v1/alerts/{alert_id}/cancel")
        answered = "cancelled" if state == "sending" else state
        assert (response.status_code, response.json()["state"]) == (202, answered), state
        if state == "completed":
            assert "no copy is sent again" in response.json()["note"]
        shown = (await api.http.get(f"/v1/alerts/{alert_id}")).json()
        assert (shown["state"], shown["stopped_at"] is None) == (answered, state in ("cancelled", "superseded")), state
    stops = [record.key.decode() for record in await api.records(api.names.control)]
    assert stops == [f"{alert_id}/stop" for alert_id in stopped]


async def test_list_is_paged_newest_first_and_filtered(api: Api) -> None:
    at = utc_now()
    ids = [uuid4() for _ in range(7)]
    for number, alert_id in enumerate(ids):
        # Three of them share an instant: the id decides.
        instant = at.replace(microsecond=0) if number < 3 else at.replace(microsecond=number)
        await store(api, alert_id, "sending" if number % 2 else "completed", accepted_at=instant)
    seen: list[str] = []
    cursor = None
    while True:
        page = (await api.http.get("/v1/alerts", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [entry["alert_id"] for entry in page["alerts"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == [str(alert_id) for alert_id in [*reversed(ids[3:]), *sorted(ids[:3])]]
    sending = (await api.http.get("/v1/alerts", params={"state": "sending"})).json()["alerts"]
    assert {entry["alert_id"] for entry in sending} == {str(alert_id) for alert_id in ids[1::2]}
    assert (await api.http.get("/v1/alerts", params={"cursor": "nonsense"})).status_code == 422


async def test_unknown_alert_is_404_everywhere(api: Api) -> None:
    for path in ("", "/summary", "/document"):
        response = await api.http.get(f"/v1/alerts/{uuid4()}{path}")
        assert (response.status_code, response.json()["type"]) == (404, "urn:tocsin:problem:alert-unknown"), path


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_probes(api: Api, path: str) -> None:
    assert (await api.http.get(path)).status_code == 200


async def test_forged_records_answer_for_no_alert(api: Api, new_alert: NewAlert) -> None:
    honest = {name: new_alert() for name in ("approved", "other content", "unreadable", "under a request")}
    alerts = {name: Alert.model_validate(content) for name, content in honest.items()}
    last = new_alert()

    def said(name: str, event: str, **fields: Any) -> bytes:
        values = {"event": event, "alert_id": alert_id_of(alerts[name]), "at": utc_now().isoformat(), "actor": "anna"}
        return json.dumps(values | fields, default=str).encode()

    forged = {
        "approved": said("approved", "approved"),
        "other content": said("other content", "submitted", alert=new_alert()),
        "unreadable": said("unreadable", "submitted", alert=honest["unreadable"] | {"status": "actual"}),
        "under a request": json.dumps(new_alert() | {"scope": "public"}).encode(),
    }
    producer = make_producer(api.settings)
    await producer.start()
    try:
        for digest in (digest_of, lambda _: bytes(32)):
            for name, value in forged.items():
                headers = [("ce_digest", digest(alerts[name]).hex().encode())]
                headers += [("ce_requestid", str(request_id_of("anna", name)).encode())]
                key = str(alert_id_of(alerts[name])).encode()
                await producer.send_and_wait(api.names.alerts, value, key=key, headers=headers)
        await producer.send_and_wait(api.names.alerts, json.dumps(last).encode())
    finally:
        await producer.stop()

    async def read() -> bool:
        return (await publish(api, last | {"note": "changed"})).status_code == 409

    # What stands before it was read as well.
    await eventually(read, "the API has read the last record")
    before = len(await api.records(api.names.alerts))
    for name, content in honest.items():
        answer = await publish(api, content, **{"Idempotency-Key": name})
        assert (name, answer.status_code, answer.headers.get("idempotency-replayed")) == (name, 202, None), answer.text
    assert len(await api.records(api.names.alerts)) == before + len(honest)
