"""Alerts that are handed in: read, checked, and how many of them at once."""

from broadcast.api.documents.reading import (
    JSON_TYPE,
    XML_TYPES,
    areas_file_of,
    media_type_of,
    read_body,
    read_submitted,
    refusal,
    too_large,
)
from broadcast.api.documents.reading_turns import ReadingTurns

__all__ = [
    "JSON_TYPE",
    "XML_TYPES",
    "ReadingTurns",
    "areas_file_of",
    "media_type_of",
    "read_body",
    "read_submitted",
    "refusal",
    "too_large",
]
