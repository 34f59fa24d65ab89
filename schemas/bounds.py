"""The bounds of what the fields of a record may hold.

Each is above what this system writes, and below what can stop a reader. A record beyond one becomes a dead letter.
`tests/unit/schemas/test_bounds.py` looks at every field of every record.
"""

from typing import Annotated

from msgspec import Meta

YEAR_10000 = 253_402_300_800_000

NAME_LENGTH_MAX = 64
"""The routes file allows 40 characters. PostgreSQL indexes the names of accounts; an index row holds 2,704 bytes."""

MESSAGE_ID_LENGTH_MAX = 512
"""An SMSC's id has at most 255 octets; the account's rule may write hexadecimal digits as decimal ones."""

REASON_LENGTH_MAX = 4_000
TEXT_LENGTH_MAX = 40_000
"""255 segments of 153 characters hold 39,015."""

ALERT_BYTES_MAX = 524_288
"""Most bytes of an alert as XML or JSON, half of what a Kafka record holds by default."""

LANGUAGE_LENGTH_MAX = 255
VARIANTS_MAX = 100
"""An alert has at most as many infos."""

GROUPS_MAX = 1_000
LIST_LENGTH_MAX = 1_000
"""Most members of a list of an alert that has no bound of its own; names and references in one text, too."""

INFOS_MAX = 100
RESOURCES_MAX = 100
GEOCODES_MAX = 6_000
"""Most geocodes of one area; an XML document can hold 6,666."""

VALUES_MAX = 32_000
"""Most fields and list members of an alert as JSON; an XML document with the most elements becomes 30,000."""

SEGMENTS_MAX = 255
ACCOUNTS_MAX = 1_000

Milliseconds = Annotated[int, Meta(ge=0, lt=YEAR_10000)]
"""An instant before the year 10000, in milliseconds since the epoch; checked when a record is read."""

Signed64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Number = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""What PostgreSQL keeps in an integer."""

Offset = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Octet = Annotated[int, Meta(ge=0, le=255)]
VariantIndex = Annotated[int, Meta(ge=0, lt=VARIANTS_MAX)]

ALERT_ID_LENGTH_MAX = 36
"""Of a UUID, as text."""

AlertId = Annotated[str, Meta(max_length=ALERT_ID_LENGTH_MAX)]
Name = Annotated[str, Meta(max_length=NAME_LENGTH_MAX)]
"""A short text: the name of an account, route, rule or stage, or a phone number."""

Names = Annotated[tuple[Name, ...], Meta(max_length=ACCOUNTS_MAX)]
MessageId = Annotated[str, Meta(max_length=MESSAGE_ID_LENGTH_MAX)]
Reason = Annotated[str, Meta(max_length=REASON_LENGTH_MAX)]
Language = Annotated[str, Meta(max_length=LANGUAGE_LENGTH_MAX)]
