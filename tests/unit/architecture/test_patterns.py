"""The regular expressions of the package: the time of each grows with the length of a text, never with its square."""

import ast
import importlib
import math
import re
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from re import _compiler, _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from tests.support.sources import parse

ROOT = Path(__file__).parents[3]
PACKAGES = ("schemas", "broadcast", "streams")
SCANNING = frozenset(["search", "findall", "finditer", "sub", "subn", "split"])
"""Methods that begin a match at each character."""

LENGTHS = (400, 4_000)
"""Characters of the texts; the short ones first, so that no test waits for a very slow pattern."""

MOST_SECONDS = 0.005
"""For the long text. A linear pattern takes 0.2 ms, one that is quadratic 20 ms or more."""

MOST_GROWTH = 3.0
"""For twice the characters. The time of a linear pattern doubles, that of one that is quadratic grows fourfold."""

FAR_TOO_MANY_SECONDS = 0.05
"""For the long text, however the time grows."""

RUNS = 7

FILLERS = (" ", ",", ":", "0", "a", "A", "-", "=", ".", "<", "&", "#", '"', "\\", "\0", "@", "+", ")")


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "migrations" not in parts and parts[-1] != "__main__":
                yield ".".join(parts).removesuffix(".__init__"), path


def scanning_names(path: Path) -> set[str]:
    """The names of patterns by which a file looks through a whole text."""
    return {
        node.func.value.id
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in SCANNING
        and isinstance(node.func.value, ast.Name)
    }


def find_patterns() -> Iterator[tuple[str, "re.Pattern[Any]", bool]]:
    """Every pattern of every module: where it stands, the pattern, and whether it looks through a whole text."""
    for name, path in modules():
        if "re.compile" not in path.read_text():
            continue
        scanning = scanning_names(path)
        for label, value in vars(importlib.import_module(name)).items():
            if isinstance(value, re.Pattern):
                yield f"{name}.{label}", value, label in scanning


@cache
def class_of(code: tuple[Any, ...]) -> "re.Pattern[str]":
    return _compiler.compile(_parser.SubPattern(_parser.State(), [(_parser.IN, list(code))]))  # type: ignore[no-any-return]


def is_member(character: str, code: list[Any]) -> bool:
    return class_of(tuple(code)).match(character) is not None


def member(code: list[Any]) -> str:
    """One character of a class."""
    return next((each for each in (*FILLERS, *map(chr, range(256))) if is_member(each, code)), "a")


def pumped(nodes: Any, filler: str, size: int) -> Iterator[str]:
    """The pieces of a text that a pattern goes through in its order, each repetition of it filled with a character."""
    for name, value in nodes:
        match str(name):
            case "LITERAL":
                yield chr(value)
            case "NOT_LITERAL" | "ANY":
                yield filler
            case "IN":
                yield filler if is_member(filler, value) else member(value)
            case "SUBPATTERN":
                yield from pumped(value[-1], filler, size)
            case "ATOMIC_GROUP":
                yield from pumped(value, filler, size)
            case "BRANCH":
                yield from pumped(value[1][0], filler, size)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, most, inner = value
                piece = "".join(pumped(inner, filler, size))
                if most > 8 and len(piece) == 1:
                    yield piece * max(least, 1)
                    yield filler * max(0, min(size, most) - least - 1)
                elif most > 8:
                    yield piece * max(least, size // max(len(piece), 1))
                else:
                    yield piece * max(least, 1)


def texts(pattern: "re.Pattern[Any]", length: int) -> Iterator[tuple[str, str]]:
    """Hostile texts of a pattern: it goes through more and more of each, and does not match.

    Each with the text of half its length that is made in the same way.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = _parser.parse(pattern.pattern, pattern.flags)
    made: dict[str, str] = {}
    for filler in FILLERS:
        for share in (2, 4):
            long, short = "", ""
            pieces = zip(
                pumped(nodes, filler, length // share), pumped(nodes, filler, length // 2 // share), strict=True
            )
            for piece, half in pieces:
                long, short = (long + piece)[: length - 1], (short + half)[: length // 2 - 1]
                text = long + filler * (length - 1 - len(long)) + "\0"
                made[text] = short + filler * (length // 2 - 1 - len(short)) + "\0"
    yield from made.items()


def seconds_for(use: Callable[[Any], object], text: object, enough: float = 0.0) -> float:
    """CPU seconds of this thread: the least of some runs, or the first below `enough`."""
    best = math.inf
    for _ in range(RUNS):
        began = time.thread_time()
        use(text)
        best = min(best, time.thread_time() - began)
        if best < enough or best > FAR_TOO_MANY_SECONDS:
            break
    return best


def is_slow(use: Callable[[Any], object], text: object, half: object) -> bool:
    """Whether a text takes long, and several times as long as half of it.

    A busy machine makes CPU time longer too, but that of both.
    """
    if seconds_for(use, text, MOST_SECONDS) < MOST_SECONDS:
        return False
    seconds = seconds_for(use, text)
    return seconds > FAR_TOO_MANY_SECONDS or seconds > MOST_GROWTH * seconds_for(use, half)


PATTERNS = list(find_patterns())


@pytest.mark.parametrize(("pattern", "scans"), [each[1:] for each in PATTERNS], ids=[each[0] for each in PATTERNS])
def test_no_text_keeps_a_pattern_busy(pattern: "re.Pattern[Any]", scans: bool) -> None:
    octets = isinstance(pattern.pattern, bytes)
    uses: list[Callable[[Any], object]] = [pattern.match, pattern.fullmatch, *([pattern.findall] if scans else [])]
    for length in LENGTHS:
        for pair in texts(pattern, length):
            text, half = [each.encode("latin-1") for each in pair] if octets else pair
            for use in uses:
                assert not is_slow(use, text, half), f"slow for {length} characters: {pair[0][:80]!r}"


@pytest.mark.parametrize(
    ("slow", "length"),
    [
        (r"id:(?:[\s,;]+sub:\s*\S*?)?(?:[\s,;]+dlvrd:\s*\S*?)?[\s,;]+stat:", LENGTHS[1]),
        ("[a-z ]*={0,2} *x", LENGTHS[1]),
    ],
)
def test_the_texts_find_a_pattern_whose_time_grows_with_the_square(slow: str, length: int) -> None:
    pattern = re.compile(slow)
    assert any(is_slow(pattern.match, text, half) for text, half in texts(pattern, length))
