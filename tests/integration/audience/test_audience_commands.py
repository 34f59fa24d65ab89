"""`broadcast recipients` and `broadcast groups`, as processes."""

import asyncio
import json
import os
import sys
from pathlib import Path

Run = tuple[int, str, str]

NUMBER = "+4915100000010"


async def broadcast(database_url: str, *arguments: str) -> Run:
    environment = {**os.environ, "BROADCAST_DATABASE_URL": database_url, "BROADCAST_DEFAULT_REGION": "DE"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "broadcast",
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_import_show_nest_and_erase(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(f"id,phone,groups\np1,0{NUMBER[3:]},a\np2,112,b\n")
    code, out, err = await broadcast(database_url, "recipients", "import", str(path), "--json")
    assert (code, err) == (0, "")
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
    code, out, err = await broadcast(database_url, "recipients", "erase", str(person["id"]), "--yes")
    assert (code, err) == (0, "")
    code, out, err = await broadcast(database_url, "recipients", "show", str(person["id"]))
    assert (code, out) == (1, "")
    assert "not in the directory" in err


async def test_a_file_without_one_good_row_fails(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,phone\np1,112\n")
    code, out, _ = await broadcast(database_url, "recipients", "import", str(path))
    assert code == 1
    assert "people.csv.report.csv" in out.replace("\n", "")


async def test_errors_name_the_next_step(database_url: str) -> None:
    code, _, err = await broadcast(database_url, "groups", "show", "gone")
    assert (code, err) == (1, "broadcast: group 'gone' does not exist: `broadcast groups list` names those that do\n")
    code, _, err = await broadcast("postgresql://broadcast@127.0.0.1:1/none", "groups", "list")
    assert code == 1
    assert "BROADCAST_DATABASE_URL leads to no database" in err
