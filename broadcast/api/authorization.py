"""Who calls: `Authorization: Bearer <key>` (RFC 6750), checked in memory."""

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from broadcast.api.problems import Problem, unavailable
from broadcast.api.services import Services, services_of
from broadcast.keys import is_token

_bearer = HTTPBearer(auto_error=False, description="An API key, made by `broadcast keys create NAME`")

PREFIX = "/v1/"
WITHOUT_KEY = frozenset({"/v1/openapi.json"})


async def authenticate(services: Services, authorization: str) -> str:
    """The name of the key in an Authorization header, which is the actor in the audit.

    Else a 401 problem; 503 where keys cannot be read, so that nobody knows whether there is one like this.
    """
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise _refused("no-key", "send an API key as `Authorization: Bearer KEY`")
    # What has not the form of a key is none, whatever PostgreSQL holds.
    were_read = services.keyring.knows(token) or not is_token(token) or await services.refresh_keys()
    if not services.keyring.loaded:
        raise unavailable(
            "keys", "API keys are not loaded yet, because PostgreSQL could not be reached since the start"
        )
    owner = services.keyring.owner_of(token)
    if owner is None and not were_read:
        raise unavailable(
            "keys",
            "this API key is not among those that are loaded, and API keys cannot be read from PostgreSQL; send the"
            " request again, or with a key that was in use before; if it goes on, look whether PostgreSQL is away, or"
            " its table api_keys locked",
        )
    if owner is None:
        raise _refused("wrong-key", "no active API key is like this; `broadcast keys list` shows which there are")
    return owner


async def authorize(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    """The caller, whom `Access` has looked at before anything of the body was read."""
    actor: str = request.state.actor
    return actor


def _refused(slug: str, detail: str) -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, slug, detail, headers={"WWW-Authenticate": 'Bearer realm="tocsin"'})


Actor = Annotated[str, Depends(authorize)]
Backing = Annotated[Services, Depends(services_of)]
