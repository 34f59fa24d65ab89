"""Texts of alerts as submit_sm templates, one per account and segment."""

from collections.abc import Sequence
from typing import Final, TypeAlias

from broadcast.routing import Account
from broadcast.routing.fields import LongMessages
from broadcast.sending.accounts.templates import WHOLE, join_segments, make_template, minutes_left
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.text import Segment, TextTooLongError, reference_of, split
from schemas.control import Control
from schemas.lane import Lane

CACHE_LIMIT: Final = 2_000
"""Messages kept, a few megabytes at most, and as many texts without one; beyond it, all are made anew."""


_Key: TypeAlias = tuple[str, int, str, tuple[int, ...]]


class MessageError(ValueError):
    """A job has no message: which variant, segment or text is wrong, for people."""


class Message:
    """One text of one alert: its segments, and which of them are to be sent.

    `total` counts all segments of the text; `numbers` (1-based) are those of this message, or 0 alone where one submit
    carries the whole text. `expires_at` is the end of the text, in milliseconds since the epoch; the alert's may be
    later, where another text follows.
    """

    __slots__ = ("_made_for", "_parts", "_templates", "_whole", "control", "expires_at", "lane", "numbers", "total")

    def __init__(self, control: Control, parts: Sequence[Segment], expires_at: int = 0) -> None:
        self.control: Final = control
        self.expires_at: Final = expires_at or control.expires_at
        self.lane: Final = control.lane
        self.numbers: Final = tuple(part.number for part in parts)
        self.total: Final = parts[0].total
        self._parts: Final = parts
        self._whole: Message | None = None
        self._templates: dict[str, tuple[Account, list[SubmitTemplate]]] = {}
        self._made_for = 0

    def carried_by(self, account: Account) -> "Message":
        """This message as the account sends it: itself, or the whole text in one submit (message_payload)."""
        if account.long_messages is not LongMessages.PAYLOAD or not 1 < len(self.numbers) == self.total:
            return self
        if self._whole is None:
            self._whole = Message(self.control, [join_segments(self._parts)], self.expires_at)
        return self._whole

    def templates(self, account: Account, now: int) -> list[SubmitTemplate]:
        """One template for each of `numbers`, made anew each minute because the validity period runs down."""
        minutes = minutes_left(self.expires_at, now)
        if minutes != self._made_for:
            self._templates.clear()
            self._made_for = minutes
        maker, templates = self._templates.get(account.name, (None, []))
        if maker is not account:
            templates = [make_template(account, self.control, part, now, self.expires_at) for part in self._parts]
            self._templates[account.name] = (account, templates)
        return templates


class MessageCache:
    """Messages by alert, variant, own text and segments; a control record that changes makes new ones.

    `highest` is the most segments of a message. What has no message is remembered too: to find out that a text is too
    long takes as long as to split it.
    """

    def __init__(self, highest_segments: int) -> None:
        self.highest: Final = highest_segments
        self._messages: Final[dict[_Key, Message]] = {}
        self._faults: Final[dict[_Key, tuple[Control, str]]] = {}

    def find(self, control: Control, variant: int, text: str, segments: tuple[int, ...]) -> Message:
        """The message of a job; MessageError when the job names a variant or segment that does not exist."""
        key = (control.alert_id, variant, text, segments)
        message = self._messages.get(key)
        if message is not None and message.control is control:
            return message
        known, fault = self._faults.get(key, (None, ""))
        if known is control:
            raise MessageError(fault)
        try:
            message = self._make(control, variant, text, segments)
        except MessageError as error:
            if len(self._faults) >= CACHE_LIMIT:
                self._faults.clear()
            self._faults[key] = (control, str(error))
            raise
        if len(self._messages) >= CACHE_LIMIT:
            self._messages.clear()
        self._messages[key] = message
        return message

    def clear(self) -> None:
        """Make all messages anew: accounts have changed, and templates hold fields of theirs."""
        self._messages.clear()
        self._faults.clear()

    def _make(self, control: Control, variant: int, text: str, segments: tuple[int, ...]) -> Message:
        expires_at = 0
        if not text:
            if not 0 <= variant < len(control.variants):
                raise MessageError(f"variant {variant} does not exist, the alert has {len(control.variants)}")
            text, expires_at = control.variants[variant].text, control.variants[variant].expires_at
        try:
            parts = split(text, reference=reference_of(control.alert_id, variant), limit=self.highest)
        except TextTooLongError as error:
            raise MessageError(str(error)) from None
        wanted = [part for part in parts if not segments or WHOLE in segments or part.number in segments]
        if not wanted:
            raise MessageError(f"segments {segments} do not exist, the text has {len(parts)}")
        return Message(control, wanted, expires_at)


LANE_RANK: Final = {lane: rank for rank, lane in enumerate(Lane)}
