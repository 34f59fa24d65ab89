"""The GSM 7 bit default alphabet and its extension table (3GPP TS 23.038, sections 6.2.1 and 6.2.1.1).

Octets are unpacked: one septet in each, as SMSCs take them in `short_message` with data_coding 0. A character of the
extension table is an escape pair, two septets that must stay together.
"""

import codecs

ESCAPE = 0x1B

ALPHABET = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The character of each septet value; 0x1B escapes to the extension table and is no character."""

EXTENSION = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}
"""The character of each septet value that follows an escape."""

SEPTETS: dict[str, bytes] = {
    **{character: bytes([value]) for value, character in enumerate(ALPHABET) if value != ESCAPE},
    **{character: bytes([ESCAPE, value]) for value, character in EXTENSION.items()},
}
"""The one or two septets of each character."""

_CHARACTERS = frozenset(SEPTETS)

_BY_OCTET = ALPHABET + "\ufffd" * 128
_PAIRS = [(chr(ESCAPE) + ALPHABET[value], character) for value, character in EXTENSION.items()]


def fits(text: str) -> bool:
    """Whether every character has septets."""
    return _CHARACTERS.issuperset(text)


def encode(text: str) -> bytes:
    """A text that fits as unpacked octets, one septet in each; KeyError if it does not."""
    return b"".join(SEPTETS[character] for character in text)


def decode(octets: bytes) -> str:
    """Unpacked octets as text.

    A septet after an escape that the extension table does not have is read from the default alphabet, a lone escape at
    the end is a space (TS 23.038, section 6.2.1.1, notes), and an octet above 0x7F is U+FFFD.
    """
    text = codecs.charmap_decode(octets, "strict", _BY_OCTET)[0]
    escape = chr(ESCAPE)
    if escape not in text:
        return text
    # Whole replacements: an SMSC may deliver 64 KB of escapes. With those pairs gone no escape follows another.
    text = text.replace(escape * 2, " ")
    for pair, character in _PAIRS:
        text = text.replace(pair, character)
    if text.endswith(escape):
        text = text[:-1] + " "
    return text.replace(escape, "")
