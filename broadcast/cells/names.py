"""Names and ids: of groups in cells, in CAP addresses and in commands; ids of people. Pure."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from broadcast.text.invisible import LAYOUT, is_invisible, remove_all_invisible, remove_invisible

BLANKS = frozenset("\u2800")
"""White space by its look, though Unicode calls it a symbol."""

ALPHABETS: Final = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN")
"""Scripts whose letters look like each other's, as their names in Unicode begin; no language mixes them in a word."""

LATIN_TWINS: Final = str.maketrans(
    "авеһіјкԛмнорсԁѕтуүԝхӏ" + "αβεζηικμνορτυχϳ" + "օսհոցզյ",
    "abehijkqmhopcdstyywxl" + "abezhikmnoptyxj" + "ouhngqj",
)
"""Letters of other alphabets, lower case, with the Latin ones that either case of them looks like.

From the confusables of Unicode Technical Standard 39; a warning is the most that follows from them.
"""

_WORDS: Final = re.compile(r"[^\W\d_]+")

_TO_SPACE = str.maketrans(dict.fromkeys((*LAYOUT, *BLANKS), " "))


def read_name(text: str) -> str:
    """A name as a person reads it: composed (NFC), one space for any white space, nothing that cannot be seen.

    Joiners between Arabic and Indic letters stay, because they show. Case stays.
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip(" ")
    return " ".join(remove_invisible(unicodedata.normalize("NFC", text)).translate(_TO_SPACE).split())


@lru_cache(16_384)
def look_of(name: str) -> str:
    """What names that look alike have in common: case, width, white space and what cannot be seen left out."""
    shown = remove_all_invisible(unicodedata.normalize("NFKC", name)).translate(_TO_SPACE)
    return unicodedata.normalize("NFKC", "".join(shown.split()).casefold())


@lru_cache(16_384)
def shape_of(name: str) -> str:
    """What names of groups that look alike in any alphabet have in common: `look_of` with its Latin twins."""
    look = look_of(name)
    if look.isascii():
        return look
    # Decomposed, so that a letter with an accent looks like another with the same one.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", look).translate(LATIN_TWINS))


def mixed_alphabets(name: str) -> tuple[str, ...]:
    """The alphabets of the first word of a name that has letters of more than one: 'Latin', 'Cyrillic'; else empty."""
    for word in [] if name.isascii() else _WORDS.findall(unicodedata.normalize("NFKC", name)):
        found = dict.fromkeys(map(_alphabet_of, word))
        found.pop("", None)
        if len(found) > 1:
            return tuple(each.capitalize() for each in sorted(found))
    return ()


def look_alikes(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that look alike, together; in alphabetical order. A name that nothing looks like is left out."""
    by_look: dict[str, set[str]] = defaultdict(set)
    for name in names:
        by_look[shape_of(name)].add(name)
    return sorted(tuple(sorted(alike)) for alike in by_look.values() if len(alike) > 1)


def show_name(name: str) -> str:
    r"""A name in quotes with whatever cannot be seen in it, or is no plain space, as an escape: 'a\u200bb'.

    So are letters of another alphabet in a name that mixes it with Latin letters.
    """
    mixed = "Latin" in mixed_alphabets(name)
    shown = "".join(
        each.encode("unicode_escape").decode("ascii")
        if is_invisible(each)
        or (each.isspace() and each != " ")
        or not each.isprintable()
        or each in BLANKS
        or (mixed and not each.isascii() and _alphabet_of(each) not in {"", "LATIN"})
        else each
        for each in name
    )
    return f"'{shown}'"


@lru_cache(1_024)
def _alphabet_of(letter: str) -> str:
    script = unicodedata.name(letter, "").partition(" ")[0]
    return script if script in ALPHABETS else ""
