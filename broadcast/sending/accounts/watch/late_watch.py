"""The alarm of accounts whose SMSC answers late, or not at all for some seconds."""

from typing import Final

from broadcast.alarms import ACCOUNT_LATE, Alarms
from broadcast.sending.accounts.binds import AccountBinds
from broadcast.sending.accounts.health.breaker import State
from broadcast.sending.accounts.watch.account_alarms import AccountAlarms


class LateWatch:
    """Looks at the answers of accounts; `slot` names this sender among the others of the route."""

    def __init__(self, slot: str, alarms: Alarms) -> None:
        self._alarms: Final = AccountAlarms(ACCOUNT_LATE, slot, alarms)

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
        self._alarms.tell(name, lateness.describe(), now)

    def forget(self, name: str) -> None:
        """End the alarm of an account that is removed."""
        self._alarms.forget(name)
