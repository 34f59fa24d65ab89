"""Characters that nobody can see: which of them a text may lose, because it then shows as before. Pure.

They come along when text is copied from a word processor, a web page or a chat. They are controls (Unicode
category Cc), formats (Cf) and the few letters and marks without a shape. What changes how its neighbours show stays:
joiners between Arabic, Indic and emoji characters, marks of direction where something is written from right to left.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

ZWSP, ZWNJ, ZWJ, LRM, RLM, ALM = "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u061c"
JOINERS: Final = frozenset({ZWNJ, ZWJ})
TO_RIGHT: Final = frozenset({LRM, "\u202a", "\u202d", "\u2066", "\u2068"})
"""Marks that begin writing from left to right."""
TO_LEFT: Final = frozenset({RLM, ALM, "\u202b", "\u202e", "\u2067"})
"""Marks that begin writing from right to left."""
OPEN_TO_LEFT: Final = TO_LEFT - {RLM, ALM}
ENDS: Final = frozenset({"\u202c", "\u2069"})
"""Marks that end what another has begun."""
DIRECTIONS: Final = TO_RIGHT | TO_LEFT | ENDS

SHAPELESS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
"""Letters and marks without a shape: grapheme joiner, fillers of Hangul, vowels of Khmer, Mongolian variations."""
SHOWN_FORMATS: Final = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
    + "".join(map(chr, range(0x13430, 0x13440)))
)
"""Formats that have a shape or order other signs: signs of numbers in Arabic and Kaithi, joiners of hieroglyphs."""
LAYOUT: Final = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x1f\x85")
"""Controls that are white space."""
KEYCAP, BLACK_FLAG = "\u20e3", "\U0001f3f4"

JOINING: Final = re.compile(
    "[\u0600-\u109f\u1700-\u18af\u1950-\u1aaf\u1b00-\u1c4f\ua800-\uabff\ufb1d-\ufdff\ufe70-\ufefc"
    "\U00010a00-\U00010aff\U00010d00-\U00010fff\U00011000-\U00011fff\U0001e900-\U0001e95f]"
)
"""Letters of scripts in which a joiner changes a shape: Arabic and its kin, Indic, Tibetan, Mongolian and others."""
WITHOUT_SPACES: Final = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf]")
"""Letters of scripts written without spaces, where U+200B says where a line may end: Thai, Lao, Burmese, Khmer."""

_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})
_STRONG: Final = frozenset({"L", "EN"})


@lru_cache(4096)
def is_invisible(character: str) -> bool:
    """Whether a character has no shape and no width of its own; white space is none of these."""
    if character in LAYOUT or character in SHOWN_FORMATS:
        return False
    return unicodedata.category(character) in {"Cc", "Cf"} or character in SHAPELESS or _is_variation(character)


def remove_invisible(text: str) -> str:
    """The text without characters that nobody can see, as far as it then shows as before."""
    if (text.isprintable() and text.isascii()) or not any(map(is_invisible, text)):
        return text
    shown = [character for character in text if not is_invisible(character)]
    kinds = [unicodedata.bidirectional(character) for character in shown]
    directed = not OPEN_TO_LEFT.isdisjoint(text) or not _RIGHT_TO_LEFT.isdisjoint(kinds)
    strong = [kind for kind in kinds if kind in _STRONG]
    kept: list[str] = []
    seen = seen_strong = 0
    for place, character in enumerate(text):
        if not is_invisible(character):
            kept.append(character)
            seen_strong += kinds[seen] in _STRONG
            seen += 1
        elif character in DIRECTIONS:
            # Among letters that all run from left to right a mark moves something only before all of them or a digit.
            if directed or (
                character in TO_LEFT and (not seen_strong or strong[seen_strong : seen_strong + 1] == ["EN"])
            ):
                kept.append(character)
        elif _matters(character, kept[-1] if kept else "", shown[seen] if seen < len(shown) else "", text, place):
            kept.append(character)
    return "".join(kept)


def remove_all_invisible(text: str) -> str:
    """The text without any of them, to find texts that look alike; it may show otherwise than before."""
    return "".join([character for character in text if not is_invisible(character)])


def _matters(character: str, previous: str, following: str, text: str, place: int) -> bool:
    """Whether the text would show otherwise without this character, which has no shape itself.

    `previous` is the character kept last, `following` the next that can be seen.
    """
    if character in JOINERS:
        if _is_emoji(previous) and _is_emoji(following):
            return character == ZWJ
        return bool(JOINING.match(previous) and (JOINING.match(following) or not following.isalnum()))
    if character == ZWSP:
        return bool(WITHOUT_SPACES.match(previous) and WITHOUT_SPACES.match(following))
    if character == "\u034f":
        return unicodedata.combining(following or "a") != 0
    if character in {"\u115f", "\u1160"}:
        return any("\u1100" <= each <= "\u11ff" for each in (previous, following))
    if "\u180b" <= character <= "\u180f":
        return "\u1800" <= previous <= "\u18af"
    if _is_variation(character):
        kind = unicodedata.category(previous) if previous else ""
        return kind in {"So", "Sm", "Lo"} or previous in {"\u203c", "\u2049"} or text[place + 1 : place + 2] == KEYCAP
    if "\U000e0020" <= character <= "\U000e007f":
        return previous == BLACK_FLAG or "\U000e0020" <= previous <= "\U000e007f"
    return False


def _is_variation(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _is_emoji(character: str) -> bool:
    """An emoji, a modifier of its skin, or the mark that it is shown in colours."""
    return character != "" and (unicodedata.category(character) in {"So", "Sk"} or character == "\ufe0f")
