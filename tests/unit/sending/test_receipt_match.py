"""A receipt is of a submit only if its own date is the instant of the write; one of an older alert never is."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.sending.answers.receipt_match import SLACK_SECONDS, TOLERANCE_SECONDS, fits
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.receipts import MessageState, ReceiptContent, parse_receipt
from tests.support.settlement import AT

QUARTERS = st.integers(-48, 56)
TAKEN = st.sampled_from([MessageState.DELIVERED, MessageState.ACCEPTED, MessageState.ENROUTE])


def date(at_ms: int, quarters: int = 0, form: str = "%y%m%d%H%M%S") -> bytes:
    instant = datetime.fromtimestamp(at_ms / 1000, UTC) + timedelta(minutes=15 * quarters)
    return instant.strftime(form).encode()


def content(submitted: bytes, done: bytes, state: MessageState = MessageState.DELIVERED) -> ReceiptContent:
    return ReceiptContent(b"r1", state, submitted=submitted, done=done)


@given(
    written_at=st.integers(AT, AT + 86_400_000),
    quarters=QUARTERS,
    taken=st.integers(0, 4_000),
    lasted=st.integers(0, 3_600_000),
    travelled=st.integers(0, 4_000),
    state=TAKEN,
)
def test_the_receipt_of_a_submit_fits_it_in_every_time_zone(
    written_at: int, quarters: int, taken: int, lasted: int, travelled: int, state: MessageState
) -> None:
    submitted_at = written_at + taken
    done_at = submitted_at + lasted
    receipt = content(date(submitted_at, quarters), date(done_at, quarters), state)
    assert fits(receipt, arrived_at=done_at + travelled, written_at=written_at)


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S+02:00", "%Y%m%d%H%M%S"])
def test_a_receipt_fits_whatever_form_its_dates_have(form: str) -> None:
    text = b"id:r1 submit date:%b done date:%b stat:DELIVRD" % (date(AT, form=form), date(AT + 1_000, form=form))
    receipt = parse_receipt(Delivery(1, 4, b"49151", b"TOCSIN", 0, text, b""))
    assert receipt is not None
    assert fits(receipt, arrived_at=AT + 2_000, written_at=AT)


@given(
    older=st.integers(AT, AT + 86_400_000),
    zones=st.integers(0, 104),
    more=st.integers(22_000, 900_000),
    quarters=QUARTERS,
    lasted=st.integers(0, 60_000),
    held=st.integers(-10_000, 20_000),
)
def test_a_receipt_of_an_older_write_that_was_held_back_fits_no_newer_one_but_a_whole_number_of_quarters_later(
    older: int, zones: int, more: int, quarters: int, lasted: int, held: int
) -> None:
    gap = zones * 900_000 + more
    written_at = older + gap
    receipt = content(date(older, quarters), date(older + lasted, quarters))
    apart = min(gap % 900_000, 900_000 - gap % 900_000)
    found = fits(receipt, arrived_at=written_at + lasted + held, written_at=written_at)
    assert not found or apart <= (SLACK_SECONDS + TOLERANCE_SECONDS) * 1000


@pytest.mark.parametrize(
    ("submitted", "done", "arrived"),
    [
        (date(AT, form="%y%m%d%H%M"), date(AT, form="%y%m%d%H%M"), AT + 3_000),
        (date(AT, form="%y%m%d%H%M"), date(AT + 3_000), AT + 4_000),
        (date(AT - 16_000), date(AT - 13_000), AT + 4_000),
        (date(AT - 16_000, 8), date(AT - 13_000, 8), AT + 4_000),
        (date(AT + 11_000), date(AT + 12_000), AT + 4_000),
        (date(AT, -49), date(AT + 3_000, -49), AT + 4_000),
        (date(AT, 57), date(AT + 3_000, 57), AT + 4_000),
        (date(AT + 3_000), date(AT), AT + 4_000),
        (b"260199120000", b"260199120003", AT + 4_000),
        (date(AT), date(AT + 3_000), AT - 1),
        (date(AT), date(AT + 3_000), AT + 15_000),
        (date(AT), date(AT + 6_000), AT + 4_000),
    ],
    ids=[
        "minutes",
        "submit in minutes",
        "held back",
        "held back, another zone",
        "after",
        "too far west",
        "too far east",
        "done before",
        "no date",
        "came before",
        "came late",
        "came before it was done",
    ],
)
def test_when_in_doubt_a_receipt_does_not_fit(submitted: bytes, done: bytes, arrived: int) -> None:
    assert not fits(content(submitted, done), arrived_at=arrived, written_at=AT)


@given(state=st.sampled_from(sorted({*MessageState} - {MessageState.SCHEDULED, MessageState.DELIVERED})))
def test_a_message_that_was_not_taken_fits_nothing(state: MessageState) -> None:
    taken = state in (MessageState.ENROUTE, MessageState.ACCEPTED)
    assert fits(content(date(AT), date(AT + 1_000), state), arrived_at=AT + 2_000, written_at=AT) is taken
