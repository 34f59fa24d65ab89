"""Texts as phones take them: GSM 03.38 (3GPP TS 23.038), UCS-2, segments. Pure."""

from broadcast.text.sms_segments import (
    Encoding,
    Segment,
    TextTooLongError,
    encoding_of,
    reference_of,
    segment_count,
    split,
)
from broadcast.text.typography import plain

__all__ = ["Encoding", "Segment", "TextTooLongError", "encoding_of", "plain", "reference_of", "segment_count", "split"]
