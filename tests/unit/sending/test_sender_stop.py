"""The order of a sender's stop: stop taking, finish the window, beat, unbind (`docs/sender.md`)."""

import pytest

from broadcast.alarms import Alarms
from broadcast.health import Health
from broadcast.routing import Account, Route
from broadcast.settings import Settings
from streams.sender import DRAIN_SECONDS, UNBIND_SECONDS, RouteSender


async def test_the_last_beat_comes_before_the_unbind() -> None:
    account = Account(name="acc", host="h", port=1, system_id="s")
    route = Route(name="r", prefixes=("+",), accounts=(account,))
    settings = Settings(number_hash_key="k")
    sender = RouteSender(
        settings,
        route,
        Health("sender"),
        in_doubt_limit=10,
        end=pytest.fail,  # type: ignore[arg-type]
        alarms=Alarms(settings),
    )
    order: list[str] = []

    async def release() -> None:
        order.append("beat")

    async def unbind(timeout_seconds: float) -> None:
        assert timeout_seconds == UNBIND_SECONDS < DRAIN_SECONDS
        order.append("unbind")

    sender._release = release  # type: ignore[method-assign]
    sender._accounts[0].pool.stop = unbind  # type: ignore[method-assign]
    await sender._drain()
    await sender._control.stop()
    await sender._receipts.stop()
    assert order == ["beat", "unbind"]
