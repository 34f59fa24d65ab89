"""The FastAPI application: routes, problem documents, access log, OpenAPI."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.routing import Route

from broadcast.api import problems
from broadcast.api.access import BODY_SECONDS, Access
from broadcast.api.connections import ConnectionLimits, RequestsInWork
from broadcast.api.routes import alarms, alerts, audit, groups, trial_messages
from broadcast.api.routes.query_parameters import refuse_unknown_parameters
from broadcast.api.services import Services
from broadcast.health.http_server import Probes

DESCRIPTION = """Publish an alert, reach every recipient by SMS, prove it.

Errors are problem documents (RFC 9457). Every answer carries `X-Request-Id`."""


def make_app(
    services: Services, *, limits: ConnectionLimits | None = None, body_seconds: float = BODY_SECONDS
) -> FastAPI:
    """The application over its services; it starts and stops nothing. `limits` are those of the settings, if None."""
    app = FastAPI(
        title="Tocsin",
        version="1",
        description=DESCRIPTION,
        openapi_url="/v1/openapi.json",
        docs_url="/docs",
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.services = services
    problems.install(app)
    settings = services.settings
    limits = limits or ConnectionLimits(settings.api_connections, settings.api_connections_per_address)
    app.add_middleware(Access, services=services, in_work=RequestsInWork(limits), body_seconds=body_seconds)
    for router in (alarms.router, alerts.router, audit.router, groups.router, trial_messages.router):
        app.include_router(router, dependencies=[Depends(refuse_unknown_parameters)])
    probes = Probes(services.health)
    for path in ("/healthz", "/readyz", "/metrics"):
        app.add_api_route(path, _probe(probes, path), methods=["GET"], tags=["operations"], response_class=Response)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    _answer_document(app)
    return app


def _probe(probes: Probes, path: str) -> Any:
    async def probe() -> Response:
        answer = probes.answer(path)
        assert answer is not None  # noqa: S101 (the paths are those of Probes)
        status, content_type, body = answer
        return Response(body, int(status), {"Cache-Control": "no-store", "Content-Type": content_type})

    return probe


def _answer_document(app: FastAPI) -> None:
    """Write the OpenAPI document once, at the first request: FastAPI writes it for each."""
    body: bytes | None = None

    async def document(_: Request) -> Response:
        nonlocal body
        if body is None:
            body = json.dumps(app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()
        return Response(body, media_type="application/json")

    routes = app.router.routes
    place = next(n for n, route in enumerate(routes) if getattr(route, "path", None) == app.openapi_url)
    routes[place] = Route(str(app.openapi_url), document, include_in_schema=False)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        _, definitions = models_json_schema(
            [(model, "validation") for model in alerts.SCHEMAS], ref_template="#/components/schemas/{model}"
        )
        schemas: Mapping[str, Any] = definitions.get("$defs", {})
        document.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
        app.openapi_schema = document
    return app.openapi_schema
