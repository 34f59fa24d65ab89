"""Alerts whose jobs cannot be sent: alarmed once each, and together when they are many."""

from collections.abc import Callable
from typing import Final

from broadcast.alarms import JOBS_FAILED

MOST_SUBJECTS: Final = 20
"""Alerts of one sender with an alarm of their own: whoever may write jobs to Kafka may name any number of alerts."""

TOGETHER: Final = "other alerts"
"""The subject of the one alarm for all further alerts."""

REPEAT_SECONDS: Final = 60.0
"""An alarm whose jobs still fail is raised again after this time: somebody may have cleared it."""


class FailedAlerts:
    """Raises `jobs_failed` for a sender, with an alert as its subject, at most once a minute for each subject."""

    def __init__(self, raise_alarm: Callable[[str, str, str], None], clock: Callable[[], float]) -> None:
        self._raise: Final = raise_alarm
        self._clock: Final = clock
        self._raised_at: Final[dict[str, float]] = {}

    def note(self, alert_id: str, reason: str) -> None:
        """Jobs of this alert got no submit, for this reason."""
        detail = f"jobs got no submit: {reason}"
        subject = alert_id
        if alert_id not in self._raised_at and len(self._raised_at) >= MOST_SUBJECTS:
            subject, detail = TOGETHER, f"jobs of more than {MOST_SUBJECTS} alerts got no submit; {alert_id}: {reason}"
        now = self._clock()
        if now - self._raised_at.get(subject, now - REPEAT_SECONDS) >= REPEAT_SECONDS:
            self._raised_at[subject] = now
            self._raise(JOBS_FAILED, subject, detail)
