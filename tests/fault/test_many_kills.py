"""The long form of the random kills (`make fault`)."""

import pytest

from tests.fault.kills import kill_in_a_broadcast
from tests.fault.system import SystemOptions, SystemUnderTest

RECIPIENTS = 200_000
ROUNDS_FIRST = 10
ROUNDS = 32

SYSTEM = SystemOptions(name="long")

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.long
@pytest.mark.timeout(2400)
async def test_many_kills_lose_nobody(system: SystemUnderTest, seed: int) -> None:
    """200 kills over 200,000 recipients."""
    await kill_in_a_broadcast(
        system,
        seed,
        name="random kills, long",
        recipients=RECIPIENTS,
        rounds_first=ROUNDS_FIRST,
        rounds=ROUNDS,
        hits_at_least=200,
        budget_seconds=900,
        long=True,
    )
