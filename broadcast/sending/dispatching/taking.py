"""What one session takes: jobs in groups, and the room that is left."""

from dataclasses import dataclass
from typing import Final

from broadcast.sending.accounts.health.probe import ProbeShares
from broadcast.sending.answers.tokens import Token
from broadcast.sending.messages import Message
from broadcast.sending.sources import Run, Source
from schemas.job import Job


@dataclass(slots=True)
class Group:
    """Jobs of one source and message, about to be written together."""

    source: Source[Token]
    message: Message
    recorded_at: int
    jobs: list[Job]
    offsets: list[int]


class Taking:
    """What one session takes: `room` is what is left in segments; `shares` are those of a probe."""

    __slots__ = ("account", "groups", "now", "room", "session", "shares")

    def __init__(self, account: str, session: str, room: int, now: int, shares: ProbeShares | None) -> None:
        self.account: Final = account
        self.session: Final = session
        self.room = room
        self.now: Final = now
        self.shares: Final = shares
        self.groups: Final[dict[tuple[int, int], Group]] = {}

    def limit(self, run: Run, segments: int) -> int:
        """How many messages of so many segments it may take of a run."""
        limit = self.room // segments
        return limit if self.shares is None else min(limit, -(-self.shares.left_for(run.content) // segments))
