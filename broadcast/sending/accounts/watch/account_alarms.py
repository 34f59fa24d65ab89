"""An alarm of one kind for each account: raised once, renewed while it is open, and ended."""

from typing import Final

from broadcast.alarms import Alarms

RENEW_SECONDS: Final = 15.0
"""What an open alarm says is so old at most."""


class AccountAlarms:
    """The alarms of one kind on the accounts of a sender; `slot` names it among the others."""

    def __init__(self, kind: str, slot: str, alarms: Alarms) -> None:
        self._kind: Final = kind
        self._slot: Final = slot
        self._alarms: Final = alarms
        self._renewed_at: Final[dict[str, float | None]] = {}

    def tell(self, account: str, detail: str, now: float) -> None:
        """Raise or renew the alarm at `now`, monotonic seconds; with an empty detail it ends."""
        if not detail:
            # Without an entry: one that this slot has raised in a run before may be open, and nobody else ends it.
            if self._renewed_at.get(account, now) is not None:
                self._alarms.end_soon(self._kind, self._subject(account))
            self._renewed_at[account] = None
            return
        renewed_at = self._renewed_at.get(account)
        if renewed_at is None:
            self._alarms.raise_soon(self._kind, self._subject(account), detail)
        elif now - renewed_at < RENEW_SECONDS:
            return
        else:
            self._alarms.renew_soon(self._kind, self._subject(account), detail)
        self._renewed_at[account] = now

    def forget(self, account: str) -> None:
        """End the alarm of an account that is removed."""
        if self._renewed_at.pop(account, None) is not None:
            self._alarms.end_soon(self._kind, self._subject(account))

    def _subject(self, account: str) -> str:
        return f"{account}, sender {self._slot}"
