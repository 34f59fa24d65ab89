"""Routes whose JSON bodies are read in one way only, as alerts are."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from schemas.json_text import JsonError, read_json


class _StrictRequest(Request):
    async def json(self) -> Any:
        """The content of the body; 400 for JSON that two readers would understand differently."""
        try:
            return read_json(await self.body())
        except JsonError as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"the body {error}") from None


class StrictRoute(APIRoute):
    """A route that refuses JSON with a repeated key, NaN, Infinity, endless numbers or lone surrogates."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, over a request that reads strictly."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return handle_strictly
