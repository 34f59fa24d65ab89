"""Routes whose JSON bodies are small, and read in one way only, as alerts are."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from schemas.json_text import JsonError, read_json

SMALL_BYTES_MAX: Final = 32_768
"""1,000 characters, all of them written as surrogate pairs (`\\ud83d\\ude00`), take 12,000."""

SMALL_VALUES_MAX: Final = 32
"""Fields and list members of such a body: the error of each wrong one takes the event loop a while."""


class _StrictRequest(Request):
    async def body(self) -> bytes:
        """The body; 413 for more than `SMALL_BYTES_MAX` bytes."""
        body = await super().body()
        if len(body) > SMALL_BYTES_MAX:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the body has {len(body)} bytes; the most is {SMALL_BYTES_MAX}",
                {"Connection": "close"},
            )
        return body

    async def json(self) -> Any:
        """The content of the body; 400 for JSON that two readers would understand differently."""
        try:
            return read_json(await self.body(), values_max=SMALL_VALUES_MAX)
        except JsonError as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"the body {error}") from None


class StrictRoute(APIRoute):
    """A route that refuses JSON with a repeated key, NaN, Infinity, endless numbers or lone surrogates.

    A route that reads its body by itself has its own limits.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, over a request that reads strictly."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return handle_strictly
