"""Words, tested: names of code and of log events, and the first sentence of a docstring."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from tests.support.sources import PACKAGES, read_sources

EVERYWHERE = (*PACKAGES, "bench", "ops", "tests")
WORD = re.compile(r"[a-z]+")
LONGEST_SENTENCE_WORDS = 20
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
IRREGULAR = frozenset(
    WORD.findall(
        "begun bound broken built caught chosen cut forgotten found frozen given held kept left lost made met "
        "overrun overtaken put read seen sent set shown shut split taken told withdrawn written"
    )
)
"""Past participles that do not end in -ed."""

BANNED_MODULES = {"dlq", "helper", "manager", "util", "utils", "notification", "campaign"}
BANNED_WORDS = frozenset(
    WORD.findall(
        "heard careful trusting booking orphan orphans verdict verdicts ruling judge parcel hurry bury buried "
        "sift stumble happening fate owe owed owes pump figures scene desk"
    )
)
"""Pictures, and words of our own for what Kafka, SMPP, CAP and PostgreSQL have words for (`docs/glossary.md`)."""
BANNED_NAMES = {"took", "alone", "hand", "test_messages", "test_send"}
"""Whole names, whose words may stand in others."""
WIRE_NAMES = {"receipts_owed"}
"""Names that somebody outside reads: fields of the simulator's /stats."""


def public_docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and first sentence of every docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), re.split(r"(?<=[.!?])\s", " ".join(text.split()), maxsplit=1)[0]


def logged_events(tree: ast.Module) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Line, name and fields of every event that is logged; an exception's own fields aside."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[ast.Constant(value=str(event)), *_]
            ) if level in LEVELS:
                names = {keyword.arg or "**" for keyword in node.keywords} - {"error", "exc_info"}
                yield node.lineno, event, tuple(sorted(names))


def named(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of every class, function, parameter and variable that is made."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def words_of(name: str) -> set[str]:
    """The words of a name in snake_case or CamelCase."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def is_banned(name: str) -> bool:
    """True if the name is, or holds a word that is, replaced by a word of the field."""
    return name not in WIRE_NAMES and (name.strip("_").lower() in BANNED_NAMES or bool(words_of(name) & BANNED_WORDS))


def test_the_first_sentence_of_a_docstring_is_short() -> None:
    found = [
        f"{path}:{line}: {len(sentence.split())} words: {sentence[:60]}"
        for path, tree in read_sources(*PACKAGES, "bench", "ops")
        for line, sentence in public_docstrings(tree)
        if len(sentence.split()) > LONGEST_SENTENCE_WORDS
    ]
    assert not found


def test_an_event_is_a_subject_and_a_past_participle() -> None:
    found = [
        f"{path}:{line}: {event}"
        for path, tree in read_sources(*PACKAGES)
        for line, event, _ in logged_events(tree)
        if "_" not in event or not (event.endswith("ed") or event.rpartition("_")[2] in IRREGULAR)
    ]
    assert not found


def test_an_event_says_the_same_of_one_fact_wherever_it_is_logged() -> None:
    fields: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for _, tree in read_sources(*PACKAGES):
        for _, event, names in logged_events(tree):
            fields[event].add(names)
    assert not {event: found for event, found in fields.items() if len(found) > 1}


def test_names_are_words_of_the_field() -> None:
    found = [
        f"{path}:{line}: {name}"
        for path, tree in read_sources(*EVERYWHERE)
        for line, name in (*named(tree), (1, path.stem))
        if is_banned(name)
    ]
    assert not found


def test_modules_are_named_by_the_glossary() -> None:
    assert not [str(path) for path, _ in read_sources(*PACKAGES) if path.stem in BANNED_MODULES]
