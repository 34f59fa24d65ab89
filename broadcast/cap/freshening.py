"""An example or a template made into an alert that is sent now."""

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


def reissue(alert: Alert, identifier: str, now: datetime) -> Alert:
    """The alert as a new message, sent `now` (aware), its other times moved by the same span.

    `references` stay as they are. Raises pydantic's ValidationError for an identifier that breaks R1 or a time that
    breaks R2.
    """
    sent = now.replace(microsecond=0).astimezone(alert.sent.tzinfo)
    moved = sent - alert.sent
    content = alert.model_dump()
    for info in content["info"]:
        info |= {name: info[name] + moved for name in ("effective", "onset", "expires") if info[name] is not None}
    return Alert.model_validate(content | {"identifier": identifier, "sent": sent})
