"""Segments: nothing is lost, nothing too long, no pair divided, for any text."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.text import (
    Encoding,
    Segment,
    TextTooLongError,
    encoding_of,
    gsm,
    reference_of,
    segment_count,
    split,
    ucs2,
)
from broadcast.text.sms_segments import HEADER_OCTETS

GSM_TEXTS = st.text(st.sampled_from(sorted(gsm.SEPTETS)), max_size=2000) | st.text(st.sampled_from("a€{"), max_size=900)
ANY_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=900) | st.text(
    st.sampled_from("aж😀"), max_size=700
)


def body_of(segment: Segment) -> bytes:
    return segment.short_message[HEADER_OCTETS if segment.total > 1 else 0 :]


@given(GSM_TEXTS, st.integers(0, 65535))
def test_gsm_segments_join_to_the_text(text: str, reference: int) -> None:
    segments = split(text, reference=reference)
    assert "".join(gsm.decode(body_of(segment)) for segment in segments) == text
    for segment in segments:
        assert segment.encoding is Encoding.GSM7
        assert segment.data_coding == 0
        header = HEADER_OCTETS if segment.total > 1 else 0
        assert header + -(-len(body_of(segment)) * 7 // 8) <= 140
        assert len(segment.short_message) <= 160
        assert not body_of(segment).endswith(b"\x1b")


@given(ANY_TEXTS, st.integers(0, 65535))
def test_any_segments_join_to_the_text(text: str, reference: int) -> None:
    segments = split(text, reference=reference)
    decode = gsm.decode if encoding_of(text) is Encoding.GSM7 else ucs2.decode
    assert "".join(decode(body_of(segment)) for segment in segments) == text
    if encoding_of(text) is Encoding.UCS2:
        assert all(len(segment.short_message) <= 140 and segment.data_coding == 8 for segment in segments)


@given(ANY_TEXTS | GSM_TEXTS, st.integers(0, 65535))
def test_segments_say_where_they_belong(text: str, reference: int) -> None:
    segments = split(text, reference=reference)
    assert segment_count(text) == len(segments)
    if len(segments) == 1:
        assert segments[0].esm_class == 0
        return
    for number, segment in enumerate(segments, 1):
        assert (segment.number, segment.total, segment.esm_class) == (number, len(segments), 0x40)
        head = segment.short_message[:HEADER_OCTETS]
        assert head == bytes([6, 8, 4, reference >> 8, reference & 255, len(segments), number])


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("", [0]),
        ("a" * 160, [160]),
        ("a" * 161, [152, 9]),
        ("a" * 304, [152, 152]),
        ("a" * 305, [152, 152, 1]),
        ("€" * 80, [160]),
        ("€" * 81, [152, 10]),
        ("a" * 151 + "€" + "b" * 10, [151, 12]),
        ("ж" * 70, [140]),
        ("ж" * 71, [132, 10]),
        ("ж" * 65 + "😀" + "ж" * 10, [130, 24]),
        ("ж" * 66 + "😀" + "ж" * 10, [132, 24]),
    ],
)
def test_segments_are_as_long_as_they_may_be(text: str, lengths: list[int]) -> None:
    assert [len(body_of(segment)) for segment in split(text, reference=0)] == lengths


def test_a_text_over_the_limit_is_refused_with_both_numbers() -> None:
    with pytest.raises(TextTooLongError, match="needs 3 segments, more than 2") as caught:
        split("a" * 305, reference=1, limit=2)
    assert (caught.value.segments, caught.value.limit) == (3, 2)
    with pytest.raises(TextTooLongError, match="more than 255"):
        split("a" * 152 * 256, reference=1, limit=1000)


def test_references_differ_between_the_variants_of_an_alert() -> None:
    alert_id = UUID(int=7)
    assert len({reference_of(alert_id, variant) for variant in range(100)}) == 100
    assert reference_of(alert_id) == reference_of(str(alert_id)) == reference_of(alert_id)
    assert all(0 <= reference_of(UUID(int=n), 99) <= 65535 for n in range(1000))


def test_references_of_alerts_are_spread() -> None:
    assert len({reference_of(UUID(int=n)) for n in range(1000)}) > 950
