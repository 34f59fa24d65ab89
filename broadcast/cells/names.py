"""Names and ids: of groups in cells, in CAP addresses and in commands; ids of people. Pure."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache

from broadcast.text.invisible import LAYOUT, is_invisible, remove_all_invisible, remove_invisible

BLANKS = frozenset("\u2800")
"""White space by its look, though Unicode calls it a symbol."""

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


def look_alikes(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that look alike, together; in alphabetical order. A name that nothing looks like is left out."""
    by_look: dict[str, set[str]] = defaultdict(set)
    for name in names:
        by_look[look_of(name)].add(name)
    return sorted(tuple(sorted(alike)) for alike in by_look.values() if len(alike) > 1)


def show_name(name: str) -> str:
    r"""A name in quotes with whatever cannot be seen in it, or is no plain space, as an escape: 'a\u200bb'."""
    shown = "".join(
        each.encode("unicode_escape").decode("ascii")
        if is_invisible(each) or (each.isspace() and each != " ") or not each.isprintable() or each in BLANKS
        else each
        for each in name
    )
    return f"'{shown}'"
