"""The alarm of accounts whose SMSC answers late, or not at all for some seconds."""

from typing import Final

from broadcast.alarms import ACCOUNT_LATE, Alarms
from broadcast.sending.accounts.binds import AccountBinds
from broadcast.sending.accounts.health.breaker import State

RENEW_SECONDS: Final = 15.0
"""The figures of an open alarm are so old at most."""


class LateWatch:
    """Looks at the answers of accounts; `slot` names this sender among the others of the route."""

    def __init__(self, slot: str, alarms: Alarms) -> None:
        self._slot: Final = slot
        self._alarms: Final = alarms
        self._renewed_at: Final[dict[str, float | None]] = {}

    def look(self, binds: AccountBinds, now: float) -> None:
        """Assess an account at `now`, monotonic seconds; while it is down or stopped, other alarms say so."""
        name, lateness, sessions = binds.account.name, binds.lateness, binds.pool.sessions
        counts = [session.take_answers() for session in sessions]
        if not sessions or binds.breaker.state is not State.CLOSED:
            lateness.clear()
        else:
            silent = max(sessions, key=lambda session: session.unanswered_seconds())
            lateness.look(
                now,
                answers=sum(answers for answers, _ in counts),
                overdue=sum(overdue for _, overdue in counts),
                pending=silent.unanswered,
                silent_seconds=silent.unanswered_seconds(),
                timeout=binds.account.response_timeout_seconds,
            )
        if not lateness.late:
            # Without an entry: one that this slot has raised in a run before may be open, and nobody else ends it.
            if self._renewed_at.get(name, now) is not None:
                self._alarms.end_soon(ACCOUNT_LATE, self._subject(name))
            self._renewed_at[name] = None
            return
        renewed_at = self._renewed_at.get(name)
        if renewed_at is None:
            self._alarms.raise_soon(ACCOUNT_LATE, self._subject(name), lateness.describe(name))
        elif now - renewed_at < RENEW_SECONDS:
            return
        else:
            self._alarms.renew_soon(ACCOUNT_LATE, self._subject(name), lateness.describe(name))
        self._renewed_at[name] = now

    def forget(self, name: str) -> None:
        """End the alarm of an account that is removed."""
        if self._renewed_at.pop(name, None) is not None:
            self._alarms.end_soon(ACCOUNT_LATE, self._subject(name))

    def _subject(self, account: str) -> str:
        return f"{account}, sender {self._slot}"
