"""A recorder that runs against the broker and the database of the session."""

import pytest

from broadcast.kafka.topics import create_topics
from broadcast.settings import Settings
from tests.support.recorder_under_test import RecorderUnderTest


@pytest.fixture
async def under_test(settings: Settings) -> RecorderUnderTest:
    await create_topics(settings, [])
    return RecorderUnderTest(settings)
