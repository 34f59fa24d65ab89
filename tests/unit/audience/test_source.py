"""Reading files: line ends, encodings, separators and headers are found, and a refusal names the true reason."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.audience.source import Source
from broadcast.cells.encodings import find_encoding
from broadcast.errors import InputError

ROWS = [(2, ["1", "Müller"]), (3, ["2", "x"])]
TEXT = "id,phone\n1,Müller\n2,x\n"


def read(path: Path, content: bytes, **options: object) -> list[tuple[int, list[str]]]:
    path.write_bytes(content)
    with Source(path, **options) as source:  # type: ignore[arg-type]
        return [row for block in source.blocks(rows=2) for row in block]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_lines_are_counted_through_quotes_and_empty_lines(tmp_path: Path, separator: str) -> None:
    content = '\ufeffid,phone\n1,"a\nb"\n\n2,x\r\n3,"y"\n'.replace(",", separator).encode()
    assert read(tmp_path / "r.csv", content) == [(2, ["1", "a\nb"]), (5, ["2", "x"]), (6, ["3", "y"])]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"]
)
def test_line_ends_and_encodings_are_found(tmp_path: Path, end: str, encoding: str) -> None:
    assert read(tmp_path / "r.csv", TEXT.replace("\n", end).encode(encoding)) == ROWS


def test_what_cannot_be_told_from_other_encodings_is_said(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(TEXT.encode("cp1252"))
    with Source(path) as source:
        assert source.encoding.name == "cp1252"
        assert "line 2 has 'Müller'" in source.encoding.note
    path.write_bytes(TEXT.encode("utf-8"))
    with Source(path) as source:
        assert (source.encoding.name, source.encoding.note) == ("utf-8", "")


@pytest.mark.parametrize("encoding", ["cp850", "mac_roman"])
def test_an_encoding_that_is_none_of_these_must_be_named(tmp_path: Path, encoding: str) -> None:
    content = TEXT.encode(encoding)
    with pytest.raises(InputError, match=r"line 2, column 4: octet 0x.. is neither UTF-8 nor .*--encoding"):
        read(tmp_path / "r.csv", content)
    assert read(tmp_path / "r.csv", content, encoding=encoding) == ROWS


def test_two_encodings_in_one_file_are_refused(tmp_path: Path) -> None:
    content = TEXT.encode() + "3,Mäder\n".encode("cp1252")
    with pytest.raises(InputError, match=r"line 4, column 4: octet 0xe4 is not utf-8, though other lines are"):
        read(tmp_path / "r.csv", content)


def test_a_wrong_encoding_is_refused_with_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2, column 4: octet 0xfc is not utf-8"):
        read(tmp_path / "r.csv", TEXT.encode("cp1252"), encoding="utf-8")
    with pytest.raises(InputError, match="'klingon', which is none"):
        read(tmp_path / "r.csv", TEXT.encode(), encoding="klingon")


@given(st.text(max_size=200), st.integers(1, 50))
def test_any_utf8_is_read_as_utf8_however_it_is_cut(text: str, size: int) -> None:
    content = text.replace("\0", "").encode("utf-8", "replace")
    blocks = [content[at : at + size] for at in range(0, len(content), size)]
    if not content.startswith((b"\xff", b"\xfe")):
        assert find_encoding(blocks).name in {"utf-8", "utf-8-sig"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('id,phone\n1,x\n2,"y\n3,z\n', "line 3, column 3: a quote is opened and never closed"),
        ('id,phone\n1,x\n2,"y"z\n3,z\n', "line 3, column 6: 'z' stands after a closing quote"),
        ('id,phone\n1,x\n2,"y ""z"" "" y\n', "line 3, column 3: a quote is opened"),
        ('id,phone\r1,x\r2,"y\r' + "3,z\r" * 50_000, "line 3, column 3: a quote is opened and never closed"),
        ("Name,Ort\nAnna,Bonn\n", "header 'Name, Ort' names no phone number: .*--map phone=COLUMN"),
        ("People of the harbour\n\nid;Handy;Gruppe\n1;2;3\n", r"line 3 does \(id, Handy, Gruppe\): try --skip-rows 2"),
        ("4915112345678,a\n", "holds a phone number and no names of columns"),
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("phone,Mobile\n", "both name msisdn: .*--map msisdn=COLUMN"),
    ],
)
def test_a_refusal_names_the_true_reason(tmp_path: Path, content: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read(tmp_path / "r.csv", content.encode())


def test_rows_before_the_header_can_be_skipped(tmp_path: Path) -> None:
    content = b"People of the harbour\n\nid;Handy;Gruppe\n1;2;3\n"
    assert read(tmp_path / "r.csv", content, skip_rows=2) == [(4, ["1", "2", "3"])]


def test_the_separator_that_a_spreadsheet_declares_is_used(tmp_path: Path) -> None:
    assert read(tmp_path / "r.csv", b"sep=;\r\nid;phone\r\n1,0;2\r\n") == [(3, ["1,0", "2"])]


def test_a_separator_within_quotes_of_the_header_is_none(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text('"id, of the club, or none";phone\n1;2\n')
    with Source(path) as source:
        assert (source.separator, source.columns.unknown) == (";", ("id, of the club, or none",))


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("Kontakt;Telefon;Team\n1;2;3\n")
    with Source(path, named={"msisdn": "kontakt", "groups": "Team"}) as source:
        columns = source.columns
    assert (columns.msisdn, columns.groups, columns.unknown) == (0, 2, ("Telefon",))
    with pytest.raises(InputError, match="column 'Handy' is nowhere in the header"):
        Source(path, named={"msisdn": "Handy"})


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(TEXT.encode("cp1252") * 1)

    thread = threading.Thread(target=write)
    thread.start()
    with Source(Path(f"/dev/fd/{reading}")) as source:
        assert [row for block in source.blocks() for row in block] == ROWS
    thread.join()
    os.close(reading)


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        Source(tmp_path)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        Source(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "text",
    [
        "S\u00fcd\u00a0West",
        "Stadt\u00a0West",
        "S\u00fcd\u00a0am\u00a0Rhein",
        "Gro\u00dfr\u00e4umig\u2026ende",
        "Nord\u2014s\u00fcd",
        "\u201eS\u00fcd\u201c",
        "Feuerwehr\u201eS\u00fcd\u201c",
        "S\u00fcd\u00adwest",
        "10\u20ac",
        "O\u2019Neill \u2013 S\u00fcd\u2026",
        "Wehr\u2122 \u2022 S\u00fcd\u00a0",
    ],
)
def test_signs_of_windows_1252_are_read_as_found(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(f"phone,groups\n1,{text}\n".encode("cp1252"))
    with Source(path) as source:
        assert source.encoding.name == "cp1252"
        assert "windows-1252" in source.encoding.note
        assert [row for block in source.blocks() for _, row in block] == [["1", text]]


def test_a_no_break_space_that_may_be_a_letter_is_refused_with_both_encodings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2, column 4: octet 0xa0 .*no-break space.*--encoding cp1252 or cp850"):
        read(tmp_path / "r.csv", "phone,groups\n1,S\u00e1nchez\n".encode("cp850"))


@given(
    st.lists(st.text("äöüß", min_size=1, max_size=3).map(lambda letters: f"h{letters}n"), min_size=1, max_size=5),
    st.sampled_from(["cp850", "mac_roman"]),
)
def test_umlauts_of_older_encodings_are_never_read_as_windows_1252(words: list[str], encoding: str) -> None:
    content = "".join(f"1,{word}\n" for word in [*words, "Hüte"]).encode(encoding)
    with pytest.raises(InputError, match="encoding"):
        find_encoding([content])
