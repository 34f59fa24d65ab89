"""Submits that were refused because of the rate, until they go again on their session."""

from collections import deque
from collections.abc import Container
from typing import Final, TypeAlias

from broadcast.sending.answers.sequel import meaning_of_answer
from broadcast.sending.answers.tokens import Token
from broadcast.sending.progress import Progress
from broadcast.smpp.codec.command_status import Follow

Throttled: TypeAlias = tuple[Token, int]
"""A submit that was refused because of the rate, and its command_status."""

MOST_WRITES: Final = 10
"""Times that a submit is written on one session; throttled as often, it is a retry, after a pause that grows."""

DOUBTED_FROM: Final = 3
"""A submit that was throttled so often may have been taken each time, although no answer had a message id."""

Place: TypeAlias = tuple[Progress[Token], int, int]
"""The partition, the offset and the part of a submit, however often it is written."""


class ThrottledSubmits:
    """Keeps throttled submits by session, oldest first. They stay taken and in doubt."""

    def __init__(self) -> None:
        self._waiting: Final[dict[str, deque[Throttled]]] = {}
        self._writes: dict[Place, int] = {}

    def add(self, token: Token, command_status: int) -> bool:
        """Keep a submit if this answer says that it may go again on its session; whether it does."""
        submission, _, offset, sent, part = token
        meaning = meaning_of_answer(command_status, submission.account.command_status)
        if meaning.follow is not Follow.SAME_SESSION or offset not in submission.progress.pending:
            return False
        if sent is not None and sent.has_taken(part):
            return False
        writes = self.writes(token) + 1
        self._writes[_place_of(token)] = writes
        if writes >= MOST_WRITES:
            return False
        self._waiting.setdefault(submission.session, deque()).append((token, command_status))
        return True

    def writes(self, token: Token) -> int:
        """How often a submit was throttled."""
        return self._writes.get(_place_of(token), 0)

    def drop(self, token: Token) -> bool:
        """Do not write a submit again, which the SMSC has taken; whether it still waited."""
        waiting = self._waiting.get(token[0].session, ())
        place = _place_of(token)
        found = [each for each in waiting if _place_of(each[0]) == place]
        for each in found:
            waiting.remove(each)  # type: ignore[union-attr]  # what is found is in a deque
        return bool(found)

    def prune(self) -> None:
        """Forget how often submits were throttled whose jobs have an outcome."""
        if self._writes:
            self._writes = {place: count for place, count in self._writes.items() if place[1] in place[0].pending}

    def of(self, session: str) -> "deque[Throttled] | None":
        """Submits that go again on a session before new jobs, oldest first; None when there are none."""
        return self._waiting.get(session) or None

    def take(self, session: str | None = None) -> list[Throttled]:
        """Take out those of one session, or all."""
        names = tuple(self._waiting) if session is None else (session,)
        return [throttled for name in names for throttled in self._waiting.pop(name, ())]

    def take_others(self, sessions: Container[str]) -> list[Throttled]:
        """Take out those of all sessions but these."""
        names = [name for name in self._waiting if name not in sessions]
        return [throttled for name in names for throttled in self._waiting.pop(name)]


def _place_of(token: Token) -> Place:
    return token[0].progress, token[2], token[4]
