"""`broadcast recipients` and `broadcast groups`, as processes."""

import asyncio
import json
import os
import sys
from pathlib import Path

Run = tuple[int, str, str]

NUMBER = "+4915100000010"


async def broadcast(database_url: str, *arguments: str, stdin: Path | None = None) -> Run:
    environment = {**os.environ, "BROADCAST_DATABASE_URL": database_url, "BROADCAST_DEFAULT_REGION": "DE"}
    environment["BROADCAST_NUMBER_HASH_KEY"] = "k" * 32
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "broadcast",
        *arguments,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin.read_bytes() if stdin else b"")
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_import_show_nest_and_erase(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(f"id,phone,groups\np1,0{NUMBER[3:]},a\np2,112,b\n")
    code, out, err = await broadcast(database_url, "recipients", "import", str(path), "--json")
    assert (code, err) == (3, "")
    result = json.loads(out)
    assert (result["inserted"], result["refused"]) == (1, 1)
    assert Path(result["report"]) == tmp_path / "people.csv.report.csv"

    code, out, _ = await broadcast(database_url, "groups", "nest", "everybody", "a")
    assert (code, out) == (0, "a is now within everybody\n")
    code, out, _ = await broadcast(database_url, "groups", "show", "everybody", "--json")
    group = json.loads(out)
    assert (group["people"], group["children"], group["languages"]) == (1, ["a"], {"": 1})
    code, out, _ = await broadcast(database_url, "groups", "list")
    assert "everybody" in out

    code, out, _ = await broadcast(database_url, "recipients", "show", "p1", "--external", "--json")
    person = json.loads(out)
    assert person["msisdn"].endswith("10")
    assert NUMBER not in out
    code, out, _ = await broadcast(database_url, "recipients", "show", str(person["id"]), "--number")
    assert NUMBER in out
    code, out, err = await broadcast(database_url, "recipients", "suppress", str(person["id"]), "opted out")
    assert (code, err) == (0, "")
    code, out, err = await broadcast(database_url, "recipients", "find", f"0049 (0){NUMBER[3:]}", "--json")
    assert (code, err) == (0, "")
    (found,) = json.loads(out)["recipients"]
    assert (found["external_id"], found["groups"], found["suppressed"]) == ("p1", ["a"], "opted out")
    assert (found["alerts"], NUMBER[-8:] in out) == ([], False)
    code, out, err = await broadcast(database_url, "recipients", "erase", str(person["id"]))
    assert (code, out, "--yes erases unasked" in err) == (1, "", True)
    code, out, err = await broadcast(database_url, "recipients", "erase", str(person["id"]), "--yes")
    assert (code, err) == (0, "")
    code, out, err = await broadcast(database_url, "recipients", "find", NUMBER)
    assert (code, err) == (3, "")
    assert "left out by imports: to be erased" in out
    code, out, err = await broadcast(database_url, "recipients", "import", str(path))
    assert (code, err) == (1, "")
    code, out, err = await broadcast(database_url, "recipients", "readmit", NUMBER)
    assert (code, err) == (0, "")
    code, _, err = await broadcast(database_url, "recipients", "readmit", NUMBER)
    assert (code, "nothing to undo" in err) == (1, True)
    code, out, err = await broadcast(database_url, "recipients", "show", str(person["id"]))
    assert (code, out) == (1, "")
    assert "not in the directory" in err


async def test_a_file_without_one_good_row_fails(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,phone\np1,112\n")
    code, out, _ = await broadcast(database_url, "recipients", "import", str(path))
    assert code == 1
    assert "people.csv.report.csv" in out.replace("\n", "")


async def test_the_last_line_says_who_gets_nothing_and_what_to_try(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(f"Handy;Gruppe;Sprache\n{NUMBER};a;deutsch\n{NUMBER[:-1]}1;a;German\n4915112345678;a;\n")
    code, out, err = await broadcast(database_url, "recipients", "import", str(path), "--dry-run")
    assert (code, err) == (3, "")
    last = out.splitlines()[-1]
    assert last.startswith(
        "dry run, nothing is changed: 1 of 3 people will get nothing: 1 msisdn can be read as several"
    )
    assert "--numbers international" in last
    code, out, _ = await broadcast(database_url, "groups", "list", "--json")
    assert (code, json.loads(out)) == (0, [])
    code, out, err = await broadcast(database_url, "recipients", "import", str(path), "--numbers", "international")
    assert err == ""
    assert (code, out.splitlines()[-1]) == (0, "all 3 people of the file can be alerted")


async def test_standard_input_is_imported(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(f"phone,groups\n{NUMBER},a\n")
    for name in ("-", "/dev/stdin"):
        code, out, err = await broadcast(
            database_url, "recipients", "import", name, "--report", str(tmp_path / "r.csv"), "--json", stdin=path
        )
        assert (code, err) == (0, "")
        assert json.loads(out)["rows"] == 1


async def test_the_file_itself_is_no_report(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(f"phone,groups\n{NUMBER},a\n")
    code, _, err = await broadcast(database_url, "recipients", "import", str(path), "--report", str(path))
    assert (code, "is the file to import" in err) == (1, True)
    assert path.read_text().startswith("phone")


async def test_errors_name_the_next_step(database_url: str) -> None:
    code, _, err = await broadcast(database_url, "groups", "show", "gone")
    assert (code, err) == (1, "broadcast: group 'gone' does not exist: `broadcast groups list` names those that do\n")
    code, _, err = await broadcast("postgresql://broadcast@127.0.0.1:1/none", "groups", "list")
    assert code == 1
    assert "BROADCAST_DATABASE_URL leads to no database" in err
