"""The OpenAPI document: every route, its problems, the Alert model whole."""

from pathlib import Path
from typing import Any

import pytest

from broadcast.api.app import make_app
from broadcast.api.services import Services
from broadcast.health import Health
from broadcast.settings import Settings


@pytest.fixture
async def document() -> dict[str, Any]:
    services = await Services.create(Settings(), Health("api"))
    try:
        return make_app(services).openapi()
    finally:
        await services.close()


async def test_every_promised_route_is_there(document: dict[str, Any]) -> None:
    routes = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    assert routes >= {
        ("POST", "/v1/alerts"),
        ("GET", "/v1/alerts"),
        ("GET", "/v1/alerts/{alert_id}"),
        ("POST", "/v1/alerts/{alert_id}/cancel"),
        ("GET", "/v1/alerts/{alert_id}/summary"),
        ("GET", "/v1/groups"),
        ("POST", "/v1/test-messages"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
    }


async def test_the_reference_page_has_every_route(document: dict[str, Any]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "http-api.md").read_text(encoding="utf-8")
    paths = {path.replace("alert_id", "id").replace("recipient_id", "rid") for path in document["paths"]}
    assert not [path for path in paths if f"{path}`" not in page]


async def test_publication_takes_cap_and_json_and_names_its_problems(document: dict[str, Any]) -> None:
    publish = document["paths"]["/v1/alerts"]["post"]
    assert set(publish["requestBody"]["content"]) == {
        "application/json",
        "application/cap+xml",
        "application/xml",
        "text/xml",
    }
    assert set(publish["responses"]) == {"202", "400", "401", "409", "413", "415", "422", "429", "503"}
    assert all(
        set(answer["content"]) == {"application/problem+json"}
        for code, answer in publish["responses"].items()
        if code != "202"
    )


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            target = node.get("$ref")
            if isinstance(target, str):
                assert target.removeprefix("#/components/schemas/") in schemas, target
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)
    assert {"identifier", "msgType", "references", "info", "groups"} <= set(schemas["Alert"]["properties"])


async def test_keys_are_a_bearer_scheme(document: dict[str, Any]) -> None:
    (scheme,) = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert document["paths"]["/v1/alerts"]["post"]["security"]
