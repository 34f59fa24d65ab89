"""UCS-2 as phones read it: UTF-16, big-endian, two octets a unit (3GPP TS 23.038, section 6.2.3).

A character outside the Basic Multilingual Plane (an emoji, say) is a surrogate pair, two units that must stay together.
"""


def encode(text: str) -> bytes:
    """A text as UTF-16BE octets; a lone surrogate becomes U+FFFD."""
    return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace").encode("utf-16-be")


def decode(octets: bytes) -> str:
    """UTF-16BE octets as text; what is no UTF-16 becomes U+FFFD."""
    return octets.decode("utf-16-be", "replace")
