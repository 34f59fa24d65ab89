"""The alarms of breakers: an account that gets no work because of its answers or its silence."""

from collections.abc import Sequence
from typing import Final

from broadcast.alarms import ACCOUNT_STOPPED, SESSION_MUTE, Alarms
from broadcast.sending.accounts.binds import AccountBinds
from broadcast.sending.accounts.health.breaker import State

KINDS: Final = (SESSION_MUTE, ACCOUNT_STOPPED)
ADVICE: Final = (
    "no recipient is rejected because of it: they go by another account, or wait and are sent to when it takes "
    "messages again. Its next messages are its probe: it stays so after a repair until there is something to send. Ask "
    "its operator, or correct the account and reload the routes, and give it a probe (docs/accounts.md#probe)"
)


class BreakerWatch:
    """Raises an alarm while a breaker is not closed, and ends it after; `slot` names this sender among the others."""

    def __init__(self, slot: str, alarms: Alarms) -> None:
        self._slot: Final = slot
        self._alarms: Final = alarms
        self._open: Final[dict[str, tuple[str, str] | None]] = {}

    def look(self, binds: AccountBinds) -> None:
        """Say how the breaker of an account is."""
        name, breaker = binds.account.name, binds.breaker
        if breaker.state is State.CLOSED:
            if binds.pool.sessions:
                self._end(name)
                self._open[name] = None
            return
        kind = SESSION_MUTE if breaker.mute else ACCOUNT_STOPPED
        before, self._open[name] = self._open.get(name), (kind, breaker.reason)
        detail = f"{breaker.reason}; {ADVICE}"
        if before is None or before[0] != kind:
            if before is not None:
                self._alarms.end_soon(before[0], self._subject(name))
            self._alarms.raise_soon(kind, self._subject(name), detail)
        elif before[1] != breaker.reason:
            self._alarms.renew_soon(kind, self._subject(name), detail)

    def forget(self, name: str) -> None:
        """End the alarm of an account that is removed."""
        if self._open.get(name) is not None:
            self._end(name)
        self._open.pop(name, None)

    def _end(self, name: str) -> None:
        known = self._open.get(name, ("", ""))
        # Without an entry: those that this slot has raised in a run before, which nobody else would end.
        kinds: Sequence[str] = () if known is None else (known[0],) if known[0] else KINDS
        for kind in kinds:
            self._alarms.end_soon(kind, self._subject(name))

    def _subject(self, account: str) -> str:
        return f"{account}, sender {self._slot}"
