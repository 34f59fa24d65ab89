"""Who calls: `Authorization: Bearer <key>` (RFC 6750), checked in memory."""

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from broadcast.api.problems import Problem, unavailable
from broadcast.api.services import Services, services_of

_bearer = HTTPBearer(auto_error=False, description="An API key, made by `broadcast keys create NAME`")


async def authorize(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> str:
    """The name of the caller's key, which is the actor in the audit. 401 without a key or with a wrong one."""
    if credentials is None:
        raise _refused("no-key", "send an API key as `Authorization: Bearer KEY`")
    token = credentials.credentials
    if not services.keyring.knows(token):
        await services.refresh_keys()
    if not services.keyring.loaded:
        raise unavailable(
            "keys", "API keys are not loaded yet, because PostgreSQL could not be reached since the start"
        )
    owner = services.keyring.owner_of(token)
    if owner is None:
        raise _refused("wrong-key", "no active API key is like this; `broadcast keys list` shows which there are")
    request.state.actor = owner
    return owner


def _refused(slug: str, detail: str) -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, slug, detail, headers={"WWW-Authenticate": 'Bearer realm="tocsin"'})


Actor = Annotated[str, Depends(authorize)]
Backing = Annotated[Services, Depends(services_of)]
