"""Lines of TOML: every table, key and element has the line on which it stands."""

import contextlib
import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broadcast.routing.lines import Path, find_lines

TEXT = '''\
title = "a # b"  # comment
delays = [ 5,
  30, # half a minute
  [1, 2],
]
"quoted key".'b c' = 1979-05-27 07:32:00

[[routes]]
name = """
[[routes]] is a text here \\""" "
"""
tls = { ca = "a}", deep = { x = [{ y = 1 }] } }
dotted.one = 1
dotted.two = 'it # is'

  [[routes.accounts]]
  name = "first"
  [routes.accounts.unknown_policy]
  routine = "hold"

  [[routes.accounts]]
  name = \'\'\'second\'\'\'

[[routes]]
[routes.far.away]
x = -1.5e3
'''


def test_lines_of_all_forms() -> None:
    lines = find_lines(TEXT)
    expected: dict[Path, int] = {
        ("title",): 1,
        ("delays",): 2,
        ("delays", 0): 2,
        ("delays", 1): 3,
        ("delays", 2, 1): 4,
        ("quoted key", "b c"): 6,
        ("routes",): 8,
        ("routes", 0): 8,
        ("routes", 0, "name"): 9,
        ("routes", 0, "tls", "ca"): 12,
        ("routes", 0, "tls", "deep", "x", 0, "y"): 12,
        ("routes", 0, "dotted"): 13,
        ("routes", 0, "dotted", "two"): 14,
        ("routes", 0, "accounts", 0): 16,
        ("routes", 0, "accounts", 0, "unknown_policy"): 18,
        ("routes", 0, "accounts", 0, "unknown_policy", "routine"): 19,
        ("routes", 0, "accounts", 1, "name"): 22,
        ("routes", 1): 24,
        ("routes", 1, "far"): 25,
        ("routes", 1, "far", "away", "x"): 26,
    }
    assert {path: lines.get(path) for path in expected} == expected
    assert set(lines) == set(paths(tomllib.loads(TEXT)))


def test_line_ends_of_windows_count_as_one() -> None:
    assert find_lines(TEXT.replace("\n", "\r\n")) == find_lines(TEXT)


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every path of a document, without the document itself."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*path, key))


KEYS = st.sampled_from(["a", "b-1", '"c d"', "'e.f'", '"\\u0041\\""', "x.y", 'x . "z z"'])
SCALARS = st.sampled_from(
    [
        "1",
        "true",
        '"x # ] }"',
        "'\"'",
        '"""a\n"b" ]\n"""',
        "'''\n'a' #'''",
        "2020-01-01T00:00:00Z",
        '"\\"]"',
        "[]",
        "{}",
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    values = st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda each: "[\n " + ", # , ]\n".join(each) + "]"),
            st.dictionaries(st.sampled_from(["p", "q", '"r s"']), inner, max_size=2).map(
                lambda each: "{" + ", ".join(f"{key} = {value}" for key, value in each.items()) + "}"
            ),
        ),
        max_leaves=6,
    )
    lines = []
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.integers(0, 3))
        if kind == 0:
            lines.append(f"[[{draw(KEYS)}]]")
        elif kind == 1:
            lines.append(f"[ {draw(KEYS)} ] # [x]")
        else:
            lines.append(f"{draw(KEYS)} ={draw(values)}")
    return "\n".join(lines)


@given(documents())
def test_every_path_of_what_tomllib_reads_has_a_line_of_the_text(text: str) -> None:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        find_lines(text)
        return
    lines = find_lines(text)
    assert set(lines) == set(paths(content))
    count = text.count("\n") + 1
    assert all(1 <= line <= count for line in lines.values())
    for path, line in lines.items():
        if isinstance(path[-1], str) and path[-1] in {"a", "b-1", "c d", "e.f", "p", "q", "r s"}:
            assert path[-1] in text.splitlines()[line - 1]


@given(st.text(alphabet="[]{}=.,#\"'\\\nab1 \r"))
def test_any_text_comes_to_an_end(text: str) -> None:
    with contextlib.suppress(tomllib.TOMLDecodeError):
        find_lines(text)
