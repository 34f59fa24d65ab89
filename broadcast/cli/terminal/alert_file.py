"""A file with an alert: its octets, its form, what names it, and the same alert as a new message."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from broadcast.cli.terminal.publication import Named
from broadcast.errors import BroadcastError, InputError
from schemas.alert import ALERT_BYTES_MAX

CAP_XML: Final = "application/cap+xml"
MEDIA_TYPES: Final = {"<": CAP_XML, "{": "application/json"}


def read_alert_file(file: str) -> bytes:
    """The content of FILE; InputError where it cannot be read, or has more octets than an alert."""
    try:
        if file == "-":
            content = sys.stdin.buffer.read(ALERT_BYTES_MAX + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(ALERT_BYTES_MAX + 1)
    except OSError as error:
        raise InputError(f"FILE {file}: {error.strerror}; name a file with an alert, or - for stdin") from None
    if len(content) > ALERT_BYTES_MAX:
        raise InputError(f"FILE {file}: has more than {ALERT_BYTES_MAX:,} octets, the most of an alert; shorten it")
    return content


def media_type_of(content: bytes, file: str) -> str:
    """The media type of an alert, by what it begins with; InputError for anything else."""
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1].decode("latin-1")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16, which XML allows and JSON does not
        start = "<"
    if start not in MEDIA_TYPES:
        raise InputError(f"FILE {file}: begins with {start!r}; an alert is CAP 1.2 XML (<) or JSON ({{)")
    return MEDIA_TYPES[start]


def reissue_content(
    content: bytes, media_type: str, identifier: str | None = None, sent: str | None = None
) -> tuple[bytes, list[str]]:
    """The alert as a new message in the same form, and a line for each field that changed."""
    from pydantic import ValidationError

    from broadcast.cap import read_cap, reissue, write_cap
    from broadcast.clock import utc_now
    from schemas.alert import AlertInvalidError, problems_of, read_alert, write_alert
    from schemas.scalar import write_instant

    try:
        alert, warnings = read_cap(content) if media_type == CAP_XML else (read_alert(content), ())
        name = identifier or f"{alert.identifier}-{uuid4().hex[:8]}"
        new = reissue(alert, name, _instant(sent) if sent else utc_now())
    except ValidationError as error:
        raise InputError(f"FILE: {error.error_count()} fields are wrong", tuple(problems_of(error))) from None
    except AlertInvalidError as error:
        raise InputError(str(error), error.problems) from None
    lines = [f"{finding.path}: {finding.message} [{finding.rule}]" for finding in warnings]
    lines.append(f"identifier: {alert.identifier} -> {new.identifier}")
    lines.append(f"sent: {write_instant(alert.sent)} -> {write_instant(new.sent)}")
    for number, (before, after) in enumerate(zip(alert.info, new.info, strict=True)):
        for name in ("effective", "onset", "expires"):
            old_time, new_time = getattr(before, name), getattr(after, name)
            if old_time is not None:
                lines.append(f"info[{number}].{name}: {write_instant(old_time)} -> {write_instant(new_time)}")
    written = write_cap(new) if media_type == CAP_XML else write_alert(new)
    return written + b"\n", lines


def explain_half_name(given: str) -> str:
    """Why `--identifier` is refused without `--sent`, and the reverse, and what to write."""
    missing = "--sent" if given == "--identifier" else "--identifier"
    return (
        f"{given} without {missing} would be another alert, and everybody would be sent it again. To repeat the very "
        f"same, add {missing} as the first call wrote it (`broadcast alert list --json`); for a new alert leave "
        f"{given} out"
    )


def name_of(content: bytes, media_type: str) -> Named | None:
    """What names the alert of these octets; None if they are no alert, which the API then says."""
    from pydantic import ValidationError

    from broadcast.cap import read_cap
    from schemas.alert import alert_id_of, read_alert
    from schemas.scalar import write_instant

    try:
        alert = read_cap(content)[0] if media_type == CAP_XML else read_alert(content)
    except (ValidationError, BroadcastError):
        return None
    return Named(str(alert_id_of(alert)), alert.identifier, write_instant(alert.sent))


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = datetime.min  # noqa: DTZ901 (refused below)
    if instant.tzinfo is None:
        raise InputError(f"--sent {text!r}: is no instant with a zone; give one such as 2026-01-02T03:04:05-00:00")
    return instant
