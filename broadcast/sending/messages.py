"""Texts of alerts as submit_sm templates, one per account and segment."""

from collections.abc import Sequence
from typing import Final

from broadcast.routing import Account
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.text import Encoding, Segment, TextTooLongError, reference_of, split
from schemas.control import Control
from schemas.lane import Lane

CACHE_LIMIT: Final = 2_000
"""Messages kept, a few megabytes at most; beyond it, all are made anew."""

MINUTE_MS: Final = 60_000


class MessageError(ValueError):
    """A job has no message: which variant, segment or text is wrong, for people."""


class Message:
    """One text of one alert: its segments, and which of them are to be sent.

    `total` counts all segments of the text; `numbers` (1-based) are those of this message.
    """

    __slots__ = ("_made_for", "_parts", "_templates", "control", "lane", "numbers", "total")

    def __init__(self, control: Control, parts: Sequence[Segment]) -> None:
        self.control: Final = control
        self.lane: Final = control.lane
        self.numbers: Final = tuple(part.number for part in parts)
        self.total: Final = parts[0].total
        self._parts: Final = parts
        self._templates: dict[str, list[SubmitTemplate]] = {}
        self._made_for = 0

    def templates(self, account: Account, now: int) -> list[SubmitTemplate]:
        """One template for each of `numbers`, made anew each minute because the validity period runs down."""
        minutes = max(1, -(-(self.control.expires_at - now) // MINUTE_MS))
        if minutes != self._made_for:
            self._templates.clear()
            self._made_for = minutes
        found = self._templates.get(account.name)
        if found is None:
            found = self._templates[account.name] = [_make_template(account, part, minutes) for part in self._parts]
        return found


class MessageCache:
    """Messages by alert, variant, own text and segments; a control record that changes makes new ones."""

    def __init__(self, highest_segments: int) -> None:
        self._highest: Final = highest_segments
        self._messages: Final[dict[tuple[str, int, str, tuple[int, ...]], Message]] = {}

    def find(self, control: Control, variant: int, text: str, segments: tuple[int, ...]) -> Message:
        """The message of a job; MessageError when the job names a variant or segment that does not exist."""
        key = (control.alert_id, variant, text, segments)
        message = self._messages.get(key)
        if message is not None and message.control is control:
            return message
        message = self._make(control, variant, text, segments)
        if len(self._messages) >= CACHE_LIMIT:
            self._messages.clear()
        self._messages[key] = message
        return message

    def _make(self, control: Control, variant: int, text: str, segments: tuple[int, ...]) -> Message:
        if not text:
            if not 0 <= variant < len(control.variants):
                raise MessageError(f"variant {variant} does not exist, the alert has {len(control.variants)}")
            text = control.variants[variant].text
        try:
            parts = split(text, reference=reference_of(control.alert_id, variant), limit=self._highest)
        except TextTooLongError as error:
            raise MessageError(str(error)) from None
        wanted = [part for part in parts if not segments or part.number in segments]
        if not wanted:
            raise MessageError(f"segments {segments} do not exist, the text has {len(parts)}")
        return Message(control, wanted)


def _make_template(account: Account, part: Segment, minutes: int) -> SubmitTemplate:
    return SubmitTemplate(
        source=account.source_addr.encode("ascii"),
        text=part.short_message,
        source_ton=account.source_type.ton,
        source_npi=account.source_type.npi,
        destination_ton=account.dest_ton,
        destination_npi=account.dest_npi,
        esm_class=part.esm_class,
        priority_flag=account.priority_flag,
        validity_period=write_validity(minutes),
        registered_delivery=1 if account.receipts else 0,
        data_coding=account.data_coding_gsm if part.encoding is Encoding.GSM7 else part.data_coding,
        service_type=account.service_type.encode("ascii"),
    )


def write_validity(minutes: int) -> bytes:
    """A relative validity period (SMPP 3.4, 7.1.1.2): YYMMDDhhmmss000R, here in days, hours and minutes.

    Relative, because an SMSC whose clock or zone is wrong would drop an absolute one too early or too late.
    """
    days, rest = divmod(minutes, 24 * 60)
    return b"0000%02d%02d%02d00000R" % (min(days, 30), *divmod(rest, 60))


LANE_RANK: Final = {lane: rank for rank, lane in enumerate(Lane)}
