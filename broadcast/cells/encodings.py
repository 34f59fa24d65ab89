"""The encoding of a text file: found, not assumed, and what is uncertain is said. Pure."""

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass

from broadcast.errors import InputError

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; that of UTF-32 begins like that of UTF-16."""

NUL_SHARE = 0.3
"""Share of zeros among every second octet from which a text is UTF-16: separators and digits have one each."""

WESTERN = "cp1252"
OTHERS = "--encoding cp1250, iso8859-15, cp850 or mac_roman, for example"
ASCII = bytes(range(128))
UNDEFINED = frozenset(b"\x81\x8d\x8f\x90\x9d")
"""Octets that windows-1252 does not have."""
WITHIN_WORDS = frozenset("\u2018\u2019\u00ad\u00b7\u2013\u00b4")
"""Signs of windows-1252 that may stand between two letters."""

_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_WORD = re.compile(rb"[\x80-\xff][^\s,;|\"\x00-\x1f]{0,40}")
_SEPARATOR = re.compile(rb"[\s,;|\"\x00-\x1f]")
_BEFORE = 40
"""Octets before its first letter beyond ASCII that are shown of a word."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """The encoding of a file, as Python names it. `note` says what is uncertain; empty if nothing is."""

    name: str
    note: str = ""


def check_encoding(name: str) -> None:
    """Raise InputError for a name that no encoding of text has."""
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise InputError(f"encoding is {name!r}, which is none: name one such as utf-8 or cp1252") from None


def find_encoding(blocks: Iterable[bytes]) -> Encoding:
    """The encoding of a file given in blocks; raises InputError where two are mixed or none fits.

    A byte order mark decides, then zeros (UTF-16), then whether all of it is UTF-8. What is left is windows-1252, if
    every letter of it is where letters may be.
    """
    whole: list[bytes] = []
    decoder = codecs.getincrementaldecoder("utf-8")()
    valid = True
    for block in blocks:
        if not whole:
            marked = _of_start(block)
            if marked is not None:
                return marked
        whole.append(block)
        if valid and not block.isascii():
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                valid = False
    if valid:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            valid = False
    return Encoding("utf-8") if valid else _not_utf8(b"".join(whole))


def locate_error(content: bytes, encoding: str) -> str | None:
    """Line, column and value of the first octet that an encoding does not have; None if there is none."""
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        line, column = _place(content, error.start, encoding)
        return f"line {line}, column {column}: octet 0x{content[error.start]:02x} is not {encoding}"
    return None


def _of_start(block: bytes) -> Encoding | None:
    for mark, name in MARKS:
        if block.startswith(mark):
            return Encoding(name)
    even, odd = block[0:4096:2], block[1:4096:2]
    if odd and odd.count(0) > NUL_SHARE * len(odd) and even.count(0) == 0:
        return Encoding("utf-16-le", "has no byte order mark; read as UTF-16, little-endian")
    if even and even.count(0) > NUL_SHARE * len(even) and odd.count(0) == 0:
        return Encoding("utf-16-be", "has no byte order mark; read as UTF-16, big-endian")
    return None


def _not_utf8(content: bytes) -> Encoding:
    sequences = len(_UTF8.findall(content))
    others = len(_UTF8.sub(b"", content).translate(None, ASCII))
    if sequences >= others:
        raise InputError(
            f"{locate_error(content, 'utf-8')}, though other lines are: two encodings are mixed; save the file as UTF-8"
        )
    for found in re.finditer(rb"[\x80-\xff]", content):
        octet = content[found.start()]
        if octet in UNDEFINED or not _plausible(content, found.start()):
            line, column = _place(content, found.start(), "latin-1")
            raise InputError(
                f"line {line}, column {column}: octet 0x{octet:02x} is neither UTF-8 nor a letter of windows-1252; save"
                f" the file as UTF-8, or name its encoding ({OTHERS})"
            )
    word = _WORD.search(content)
    first = word.start() if word else 0
    before = _SEPARATOR.split(content[max(0, first - _BEFORE) : first])[-1]
    shown = (before + word[0]).decode(WESTERN) if word else ""
    line, _ = _place(content, first, "latin-1")
    return Encoding(
        WESTERN,
        f"is not UTF-8; read as windows-1252, which other encodings cannot be told from: line {line} has {shown!r}. If"
        f" that is wrong, name the encoding ({OTHERS})",
    )


def _plausible(content: bytes, at: int) -> bool:
    """Whether a character of windows-1252 is a letter, or a sign where it may stand."""
    before, character, after = (
        content[max(at - 1, 0) : at].decode(WESTERN, "replace"),
        content[at : at + 1].decode(WESTERN),
        content[at + 1 : at + 2].decode(WESTERN, "replace"),
    )
    if not (before.isalpha() and after.isalpha()):
        return True
    if character.isalpha():
        return not (character.isupper() and after.islower())
    return character in WITHIN_WORDS


def _place(content: bytes, at: int, encoding: str) -> tuple[int, int]:
    """Line and column of an octet, from 1."""
    before = content[:at]
    if encoding.startswith(("utf-16", "utf-32")):
        text = before.decode(encoding, "replace")
        lines = re.split(r"\r\n|\r|\n", text)
        return len(lines), len(lines[-1]) + 1
    lines_of = _LINE_END.split(before)
    return len(lines_of), len(lines_of[-1].decode(encoding, "replace")) + 1
