"""An account that meets the simulator and is not declared simulated: nothing is sent over it."""

from pathlib import Path

from broadcast.settings import Settings
from schemas.lane import Lane
from schemas.status import Outcome
from tests.support.sender_setup import open_route
from tests.support.waiting import eventually, found_first


async def test_nothing_goes_by_a_simulator_that_is_not_declared(kafka_settings: Settings, tmp_path: Path) -> None:
    async with open_route(kafka_settings, tmp_path) as route:
        file = route.settings.routes_file
        assert file is not None
        declared = file.read_text()
        file.write_text(declared.replace("simulated = true\n", ""))
        alert = await route.publish(lane=Lane.IMMEDIATE)
        await route.put_jobs(alert, range(1, 4), lane=Lane.IMMEDIATE)
        sender = await route.start_sender()

        await eventually(lambda: "bind_failed" in sender.text(), "the bind fails", within_seconds=30)

        async def told() -> str:
            reason = str((await sender.report())["holds"].get("account acc", ""))
            return "" if "first try" in reason else reason

        why = await found_first(told, within_seconds=30)
        assert "is the SMSC simulator of Tocsin, which reaches no phone" in why
        assert "write `simulated = true` for it in the routes file" in why
        await eventually(lambda: sender.text().count("bind_down") > 0, "the alarm is raised", within_seconds=30)
        assert await route.statuses() == []
        assert (await route.simulator.stats())["submits"] == 0
        await sender.kill()
        file.write_text(declared)
        await route.start_sender()

        async def accepted() -> bool:
            return [status.outcome for status in await route.statuses()] == [Outcome.ACCEPTED] * 3

        await eventually(accepted, "declared simulated, it is sent", within_seconds=30)
