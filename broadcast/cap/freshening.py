"""An example or a template as an alert of now."""

from datetime import UTC, datetime, timedelta

from schemas.alert import Alert


def freshen(alert: Alert, identifier: str, now: datetime, lifetime_seconds: float) -> Alert:
    """The alert under another identifier, sent `now` (aware), all its infos expiring `lifetime_seconds` later.

    `effective` and `onset` are left out, so it is effective at once. Raises pydantic's ValidationError for an
    identifier that breaks R1.
    """
    sent = now.astimezone(UTC).replace(microsecond=0)
    times = {"effective": None, "onset": None, "expires": sent + timedelta(seconds=int(lifetime_seconds))}
    content = alert.model_dump()
    infos = [info | times for info in content["info"]]
    return Alert.model_validate(content | {"identifier": identifier, "sent": sent, "info": infos})
