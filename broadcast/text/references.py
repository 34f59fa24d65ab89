"""The 16-bit reference by which a phone joins the segments of one text."""

from uuid import UUID
from zlib import crc32


def reference_of(alert_id: UUID | str, variant: int = 0) -> int:
    """The reference of an alert's variant: 0 to 65535, the same in every process and at every retry.

    One for all recipients, so that one templated PDU serves them all. Two live alerts to the same phone share one by
    chance in 1 of 65,536; variants of one alert never do.
    """
    return (crc32(str(alert_id).encode()) + variant) & 0xFFFF
