"""Texts that end before their alert: who waits gets the text that follows."""

from broadcast.clock import epoch_milliseconds
from broadcast.smpp.codec.message import parse_message
from broadcast.smpp.codec.pdu import SUBMIT_SM
from broadcast.smpp.rates.pacing import Pacing
from schemas.control import Control, Variant
from schemas.lane import Lane
from schemas.status import Outcome
from tests.support.dispatch import ALERT, BoundSession, SenderUnderTest, job

MINUTE = 60_000
RTHROTTLED = 0x58


def follow(sender: SenderUnderTest, *, ends_in: int) -> None:
    """An alert of an hour whose first text ends in so many milliseconds, and that has another then."""
    now = epoch_milliseconds()
    texts = (Variant("en", "leave", now + ends_in, 1), Variant("en", "boil water"))
    sender.view.controls[ALERT] = Control(ALERT, Lane.IMMEDIATE, "Exercise", now + 60 * MINUTE, texts)


def take(bound: BoundSession) -> list[tuple[str, str]]:
    """The text and validity period of each submit that was written."""
    pdus = [pdu for pdu in bound.wire.take() if pdu.command == SUBMIT_SM]
    bound.open += pdus
    return [
        (message.short_message.decode(), message.validity_period.decode())
        for message in (parse_message(pdu.body, 0, len(pdu.body)) for pdu in pdus)
    ]


async def test_a_text_is_sent_until_it_ends_and_then_the_one_that_follows() -> None:
    sender = SenderUnderTest()
    bound = sender.bind()
    follow(sender, ends_in=10 * MINUTE)
    sender.feed(sender.jobs, [job(1)])
    sender.write_ready()
    assert take(bound) == [("leave", "000000001000000R")]
    follow(sender, ends_in=-1)
    sender.feed(sender.jobs, [job(2), job(3, attempt=2)], 1)
    sender.write_ready()
    assert take(bound) == [("boil water", "000000010000000R")] * 2


async def test_the_other_segments_of_a_text_that_has_ended_are_not_sent_with_another_text() -> None:
    sender = SenderUnderTest()
    bound = sender.bind()
    follow(sender, ends_in=-1)
    sender.feed(sender.jobs, [job(1, attempt=2, segments=(2,))])
    sender.write_ready()
    assert take(bound) == []
    assert sender.outcomes() == [(1, Outcome.UNKNOWN)], "its first segment was sent"


async def test_a_throttled_submit_of_a_text_that_has_ended_does_not_go_again() -> None:
    sender = SenderUnderTest()
    bound = sender.bind()
    follow(sender, ends_in=10 * MINUTE)
    sender.feed(sender.jobs, [job(1)])
    sender.write_ready()
    assert len(take(bound)) == 1
    bound.session._writing_paused = True
    bound.answer(RTHROTTLED)
    throttled = sender.settlement.throttled.of(bound.session.identity)
    assert throttled
    (submission, *_), _ = throttled[0]
    submission.message.expires_at = 0  # type: ignore[misc]
    bound.session.pacing = Pacing(None, 0.0)  # type: ignore[misc]
    bound.session._writing_paused = False
    sender.write_ready()
    assert take(bound) == []
    assert [(one.recipient_id, one.segments) for one in sender.retries()] == [(1, ())]
