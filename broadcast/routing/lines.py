"""Line numbers of TOML: where each key and each element of an array stands, by its path.

`tomllib` keeps no positions. The text is read a second time here, only as far as lines need it.
"""

import re
import tomllib
from collections.abc import Mapping
from typing import Final, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the beginning of the file: `("routes", 0, "accounts", 1, "window")`."""

_BLANK: Final = re.compile(r"[ \t]*")
_BETWEEN: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
# The longest form of quotation marks first.
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})|\'\'\'.*?\'\'\'(?:\'{0,2})|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL
)
_BARE: Final = re.compile(r"[^,\]}#\n]*")


def find_lines(text: str) -> Mapping[Path, int]:
    """The line, from 1, of every table, key and array element of a text that `tomllib` has read.

    A table without a header of its own stands where its first key does.
    """
    return _Reading(text.replace("\r\n", "\n")).lines


class _Reading:
    def __init__(self, text: str) -> None:
        self.lines: Final[dict[Path, int]] = {}
        self._text: Final = text
        self._at = 0
        self._counted_to = 0
        self._line = 1
        self._arrays: Final[dict[Path, int]] = {}
        table: Path = ()
        while self._skip(_BETWEEN) < len(text):
            line = self._current_line()
            if text.startswith("[[", self._at):
                self._at += 2
                table = self._next_element(self._read_key())
                self._at += 2
                self.lines[table] = line
            elif text.startswith("[", self._at):
                self._at += 1
                table = self._resolve(self._read_key())
                self._at += 1
                self._note((), table, line)
            else:
                self._read_pair(table)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return self._at

    def _current_line(self) -> int:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._line

    def _read_key(self) -> tuple[str, ...]:
        parts: list[str] = []
        while True:
            self._skip(_BLANK)
            found = _KEY.match(self._text, self._at)
            if found is None:
                self._at += 1
                return tuple(parts)
            self._at = found.end()
            word = found.group()
            parts.append(tomllib.loads(f"key = {word}")["key"] if word[0] in "\"'" else word)
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return tuple(parts)
            self._at += 1

    def _resolve(self, keys: tuple[str, ...]) -> Path:
        """The path of a header's keys: of an array of tables, its last element is meant."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            if path in self._arrays:
                path = (*path, self._arrays[path])
        return path

    def _next_element(self, keys: tuple[str, ...]) -> Path:
        array = (*self._resolve(keys[:-1]), *keys[-1:])
        self._note((), array, self._current_line())
        self._arrays[array] = self._arrays.get(array, -1) + 1
        return (*array, self._arrays[array])

    def _note(self, table: Path, path: Path, line: int) -> None:
        for end in range(len(table) + 1, len(path) + 1):
            self.lines.setdefault(path[:end], line)

    def _read_pair(self, table: Path) -> None:
        line = self._current_line()
        path = (*table, *self._read_key())
        self._note(table, path, line)
        self._at += 1
        self._read_value(path)

    def _read_value(self, path: Path) -> None:
        self._skip(_BLANK)
        opening = self._text[self._at : self._at + 1]
        if opening == "[":
            self._at += 1
            index = 0
            while self._skip(_BETWEEN) < len(self._text) and self._text[self._at] != "]":
                self.lines[*path, index] = self._current_line()
                before = self._at
                self._read_value((*path, index))
                self._skip(_BETWEEN)
                self._skip_one(",")
                # Not TOML where nothing was read: go on behind it, so that the reading comes to an end.
                self._at += self._at == before
                index += 1
            self._at += 1
        elif opening == "{":
            self._at += 1
            while self._skip(_BETWEEN) < len(self._text) and self._text[self._at] != "}":
                self._read_pair(path)
                self._skip(_BETWEEN)
                self._skip_one(",")
            self._at += 1
        elif opening and opening in "\"'":
            if _STRING.match(self._text, self._at) is None:
                self._at += 1
            self._skip(_STRING)
        else:
            self._skip(_BARE)

    def _skip_one(self, character: str) -> None:
        if self._text.startswith(character, self._at):
            self._at += 1
