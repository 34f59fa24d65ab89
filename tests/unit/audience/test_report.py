"""The report of an import: it destroys nothing else, and what cannot be written is said before any work."""

import inspect
import re
from pathlib import Path

import pytest

from broadcast.audience.advice import CORRECT, advise, end_lines, last_line
from broadcast.audience.report import Report, kind_of
from broadcast.audience.rows import Finding
from broadcast.cells import digits, numbers
from broadcast.cells.renumbered import RENUMBERED
from broadcast.cells.spellings import SPELLINGS
from broadcast.errors import InputError

FINDING = Finding(2, "msisdn", "+••12", False, "can be read as +49 17… (12 digits) or +49 49… (14 digits): write it")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text("phone\n1\n")
    return path


def test_the_file_to_import_is_no_report(source: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.csv"
    link.symlink_to(source)
    hard = tmp_path / "hard.csv"
    hard.hardlink_to(source)
    for path in (source, link, hard, tmp_path / "." / "people.csv"):
        with pytest.raises(InputError, match="is the file to import"):
            Report(path, source)
    assert source.read_text() == "phone\n1\n"


def test_another_file_is_kept(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("id,phone\n")
    with pytest.raises(InputError, match="exists and is no report"):
        Report(other, source)
    assert other.read_text() == "id,phone\n"


def test_a_path_that_cannot_be_written_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory"):
        Report(tmp_path, source)
    with pytest.raises(InputError, match=r"cannot be written .No such file or directory."):
        Report(tmp_path / "none" / "r.csv", source)
    with pytest.raises(InputError, match=r"cannot be written .Not a directory."):
        Report(source / "r.csv", source)
    with pytest.raises(InputError, match="no usual file"):
        Report(Path("/dev/full"), source)


def test_an_older_report_goes_and_a_new_one_comes_only_with_findings(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    with Report(path, source) as report:
        assert not path.exists()
        report.add([FINDING])
        assert path.exists()
    with Report(path, source):
        pass
    assert not path.exists()


def test_reasons_are_counted_without_numbers() -> None:
    assert kind_of(FINDING) == "msisdn can be read as several numbers"
    assert (
        kind_of(Finding(2, "row", "", False, "has 9 cells, the header 7: put")) == "row has more cells than the header"
    )
    moved = Finding(2, "msisdn", "", False, "is the number of recipient 8 already: the person keeps")
    assert kind_of(moved) == "msisdn is the number of another recipient already"
    twice = Finding(2, "external_id", "", False, "has another number in line 4: give each person one number")
    assert kind_of(twice) == "external_id has another number in another line"


def test_the_report_is_in_the_order_of_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    with Report(path, tmp_path / "people.csv") as report:
        report.add(Finding(line, "row", "", False, f"=early, {line}") for line in (2, 5, 9))
        report.add(Finding(line, "row", "", True, "late") for line in (7, 3, 12, 4))
    lines = path.read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["line", "2", "3", "4", "5", "7", "9", "12"]
    assert lines[1] == '2,row,,no,"\'=early, 2"'
    assert [each.name for each in tmp_path.iterdir()] == ["report.csv"]


def test_of_many_reasons_each_has_a_line() -> None:
    reasons = {"msisdn is empty": 2, "msisdn is a date": 30, "row has more cells than the header": 1}
    advice = advise(reasons, without_group=4, has_groups=True)
    lines = list(end_lines(unreached=38, rows=90, suppressed=1, without_group=4, reasons=reasons, advice=advice))
    assert lines[:6] == [
        "38 of 90 people will get nothing:",
        "  30 msisdn is a date",
        "  2 msisdn is empty",
        "  1 row has more cells than the header",
        "  1 suppressed",
        "  4 in no group",
    ]
    assert "  put cells that hold a separator in quotes" in lines[7:]


def test_the_last_line_says_how_many_get_nothing_and_what_to_try() -> None:
    reasons = {"msisdn has no country code, and no default region is given": 140}
    advice = advise(reasons, without_group=2, has_groups=False)
    line = last_line(rows=200, refused=140, suppressed=1, without_group=2, reasons=reasons, advice=advice)
    assert line.startswith("143 of 200 people will get nothing: 140 msisdn has no country code")
    assert all(word in line for word in ("1 suppressed", "2 in no group", "--region DE", "--map groups", "--dry-run"))
    line = last_line(rows=2, refused=0, suppressed=0, without_group=0, reasons={}, advice=())
    assert line == "all 2 people of the file can be alerted"


def test_every_reason_of_a_cell_that_is_refused_has_its_advice() -> None:
    reasons = {"msisdn can be read as several numbers": 3, "msisdn is a date": 1}
    assert "--numbers international" in " ".join(advise(reasons, without_group=0, has_groups=True))
    assert advise({}, without_group=0, has_groups=True) == ()


def test_a_file_without_people_is_not_said_to_be_alerted() -> None:
    line = last_line(rows=0, refused=0, suppressed=0, without_group=0, reasons={}, advice=())
    assert line.startswith("the file has no people")


def test_every_reason_of_the_last_line_is_named() -> None:
    reasons = {f"msisdn reason {letter}": 9 - place for place, letter in enumerate("abcde")}
    line = last_line(rows=99, refused=35, suppressed=0, without_group=0, reasons=reasons, advice=())
    assert all(reason in line for reason in reasons)
    assert "11 for other reasons (" in line


def test_whoever_is_refused_is_told_what_to_try() -> None:
    source = "".join(map(inspect.getsource, (numbers, digits)))
    written = re.findall(r'NumberError\(\s*f?"([^"]+)"', source)
    assert len(written) > 10
    misspelt = [f"can be read as + or +: {pair.hint}" for pair in SPELLINGS]
    reasons = [f"msisdn {each}" for each in (*written, *(line.reason for line in RENUMBERED), *misspelt)]
    for reason in map(kind_of, (Finding(2, "msisdn", "", False, each.removeprefix("msisdn ")) for each in reasons)):
        assert advise({reason: 1000}, without_group=0, has_groups=True) not in {(), (CORRECT,)}, reason
    assert advise({"row is something new": 1}, without_group=0, has_groups=True) == (CORRECT,)


def test_wishes_are_one_reason_whenever_they_were_said() -> None:
    reasons = {
        kind_of(Finding(2, "msisdn", "", False, f"asked to be erased on 2026-01-0{day} (moved {day}): not loaded"))
        for day in range(1, 5)
    }
    assert reasons == {"msisdn asked to be erased"}
