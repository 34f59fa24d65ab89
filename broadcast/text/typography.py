"""Typographic characters and the plain forms that GSM 03.38 has for them.

One such character would put the whole text into UCS-2, which has room for half as many characters.
Only forms that read the same aloud: quotation marks, dashes, spaces, the ellipsis, ligatures.
Letters with accents are left alone, because a name with another letter is another name.
"""

import unicodedata

from broadcast.text import gsm
from broadcast.text.invisible import remove_invisible

PLAIN = {
    "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u2032": "'",
    "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u201f": '"', "\u2033": '"', "\u00ab": '"', "\u00bb": '"',
    "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2015": "-", "\u2212": "-",
    "\u2026": "...",
    "\u00a0": " ", "\u2002": " ", "\u2003": " ", "\u2007": " ", "\u2008": " ", "\u2009": " ", "\u200a": " ",
    "\u202f": " ", "\u3000": " ", "\t": " ", "\u2028": "\n", "\u2029": "\n",
    "\ufb01": "fi", "\ufb02": "fl",
    "\u2022": "-", "\u00b7": "-",
}  # fmt: skip
"""The plain form of each typographic character."""

_PLAIN = str.maketrans(PLAIN)


def plain(text: str) -> str:
    """The text in plain characters if all of it then fits GSM 03.38, else as it is.

    Either way without what nobody can see, and composed (NFC): a letter and its accent as two characters cost two, and
    GSM 03.38 has neither.
    """
    text = unicodedata.normalize("NFC", remove_invisible(text))
    changed = text.translate(_PLAIN)
    return changed if gsm.fits(changed) else text
