"""The encoding of a text file: found, not assumed, and what is uncertain is said. Pure."""

import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator
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
OLDER = ("cp850", "mac_roman")
"""Encodings that have letters where windows-1252 has signs, and signs where it has letters."""
ASCII = bytes(range(128))
UNDEFINED = frozenset(b"\x81\x8d\x8f\x90\x9d")
"""Octets that windows-1252 does not have."""
WITHIN_WORDS = frozenset("\u2018\u2019\u00ad\u00b7\u2013\u00b4")
"""Signs of windows-1252 that may stand between two letters."""
BETWEEN_WORDS = frozenset("\u00a0\u2014\u2026")
"""Signs that stand between two words without a space, and are letters in older encodings."""

_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_WORD = re.compile(rb"[\x80-\xff][^\s,;|\"\x00-\x1f]{0,40}")
_LETTER_WORD = re.compile(rb"[\x8a\x8c\x8e\x9a\x9c\x9e\x9f\xc0-\xff][^\s,;|\"\x00-\x1f]{0,40}")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_BESIDE_LETTER = re.compile(rb"[A-Za-z][\x80-\xff]")
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
    surely_western: bool | None = None
    for found in _BEYOND_ASCII.finditer(content):
        octet, place = content[found.start()], found.start()
        if octet in UNDEFINED:
            raise _refusal(content, place, "is neither UTF-8 nor windows-1252")
        plausible = _plausible(content, place)
        if plausible is None:
            if surely_western is None:
                surely_western = _has_western_letters(content)
            if not surely_western:
                shown = f"a {_name(octet)} in windows-1252 and a letter in others, in {_shown(content, place)}"
                raise _refusal(content, place, f"is not UTF-8; it is {shown}", f"--encoding {WESTERN} or cp850")
        elif not plausible:
            raise _refusal(
                content, place, f"is neither UTF-8 nor windows-1252, where it is a {_name(octet)} within a word"
            )
    word = _LETTER_WORD.search(content) or _WORD.search(content)
    first = word.start() if word else 0
    line, _ = _place(content, first, "latin-1")
    return Encoding(
        WESTERN,
        f"is not UTF-8; read as windows-1252, which other encodings cannot be told from: line {line} has"
        f" {_shown(content, first)}. If that is wrong, name the encoding ({OTHERS})",
    )


def _refusal(content: bytes, at: int, reason: str, encodings: str = OTHERS) -> InputError:
    line, column = _place(content, at, "latin-1")
    return InputError(
        f"line {line}, column {column}: octet 0x{content[at]:02x} {reason}; save the file as UTF-8, or"
        f" name its encoding ({encodings})"
    )


def _shown(content: bytes, at: int) -> str:
    """The word around an octet, in quotes, as windows-1252."""
    before = _SEPARATOR.split(content[max(0, at - _BEFORE) : at])[-1]
    word = _WORD.match(content, at)
    return repr((before + word[0]).decode(WESTERN, "replace")) if word else "''"


def _name(octet: int) -> str:
    return unicodedata.name(bytes((octet,)).decode(WESTERN)).lower()


def _has_western_letters(content: bytes) -> bool:
    """Whether windows-1252 alone has letters beside other letters: each older encoding has signs there."""
    return all(any(_letters_only_in_western(content, older)) for older in OLDER)


def _letters_only_in_western(content: bytes, older: str) -> Iterator[bool]:
    for found in _BESIDE_LETTER.finditer(content):
        octet = found[0][-1:]
        yield octet.decode(WESTERN, "replace").isalpha() and not octet.decode(older).isalpha()


def _plausible(content: bytes, at: int) -> bool | None:
    """Whether a character of windows-1252 may stand where it is; None if that depends on other letters.

    A sign between a small and a capital letter divides two words: a letter of another encoding does not stand there.
    """
    before, character, after = (
        content[max(at - 1, 0) : at].decode(WESTERN, "replace"),
        content[at : at + 1].decode(WESTERN),
        content[at + 1 : at + 2].decode(WESTERN, "replace"),
    )
    if not (before.isalpha() and after.isalpha()):
        return True
    if character.isalpha():
        return not (character.isupper() and after.islower())
    if character in WITHIN_WORDS or (before.islower() and after.isupper()):
        return True
    return None if character in BETWEEN_WORDS else False


def _place(content: bytes, at: int, encoding: str) -> tuple[int, int]:
    """Line and column of an octet, from 1."""
    before = content[:at]
    if encoding.startswith(("utf-16", "utf-32")):
        text = before.decode(encoding, "replace")
        lines = re.split(r"\r\n|\r|\n", text)
        return len(lines), len(lines[-1]) + 1
    lines_of = _LINE_END.split(before)
    return len(lines_of), len(lines_of[-1].decode(encoding, "replace")) + 1
