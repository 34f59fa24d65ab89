"""Submits that were refused because of the rate, until they go again on their session."""

from collections import deque
from collections.abc import Container
from typing import Final, TypeAlias

from broadcast.sending.answers.sequel import meaning_of_answer
from broadcast.sending.answers.tokens import Token
from broadcast.smpp.codec.command_status import Follow

Throttled: TypeAlias = tuple[Token, int]
"""A submit that was refused because of the rate, and its command_status."""


class ThrottledSubmits:
    """Keeps throttled submits by session, oldest first. They stay taken and in doubt."""

    def __init__(self) -> None:
        self._waiting: Final[dict[str, deque[Throttled]]] = {}

    def add(self, token: Token, command_status: int) -> bool:
        """Keep a submit if this answer says that it may go again on its session; whether it does."""
        submission, _, offset, _, _ = token
        meaning = meaning_of_answer(command_status, submission.account.command_status)
        if meaning.follow is not Follow.SAME_SESSION or offset not in submission.progress.pending:
            return False
        self._waiting.setdefault(submission.session, deque()).append((token, command_status))
        return True

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
