"""Every command in odd surroundings: no traceback, no secret shown, nothing written outside the data directory."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from broadcast.cli import root

ROOT = Path(__file__).parents[3]
ALERT = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
NOWHERE = "/dev/null/nowhere"

ARGUMENTS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("alarms", "clear"): ("1",),
    ("alarms", "list"): (),
    ("alert", "cancel"): (ALERT,),
    ("alert", "list"): (),
    ("alert", "publish"): ("--now", str(ROOT / "examples/flood.xml")),
    ("alert", "show"): (ALERT,),
    ("alert", "watch"): (ALERT,),
    ("audit", "deliveries"): (ALERT, "--format", "csv"),
    ("audit", "history"): (ALERT, "1"),
    ("audit", "rebuild"): ("--check",),
    ("audit", "summary"): (ALERT,),
    ("audit", "unmatched"): (),
    ("audit", "unreadable"): (),
    ("audit", "verify"): (),
    ("database", "migrate"): (),
    ("deadletters", "dismiss"): ("1",),
    ("deadletters", "list"): (),
    ("deadletters", "replay"): ("1",),
    ("deadletters", "show"): ("1",),
    ("demo",): ("--data-dir", NOWHERE),
    ("groups", "list"): (),
    ("groups", "merge"): ("a", "b"),
    ("groups", "nest"): ("a", "b"),
    ("groups", "show"): ("a",),
    ("groups", "unnest"): ("a", "b"),
    ("keys", "create"): ("me",),
    ("keys", "list"): (),
    ("keys", "revoke"): ("me",),
    ("recipients", "allow"): ("1",),
    ("recipients", "erase"): ("1",),
    ("recipients", "find"): ("+4915112345678",),
    ("recipients", "import"): (NOWHERE,),
    ("recipients", "readmit"): ("+4915112345678",),
    ("recipients", "show"): ("1",),
    ("recipients", "suppress"): ("1", "moved"),
    ("routes", "check"): (str(ROOT / "examples/routes.toml"),),
    ("run",): ("nothing",),
    ("smsc",): ("--profile", NOWHERE),
    ("test-send",): ("+4915112345678",),
    ("topics", "check"): ("--timeout", "0.1"),
    ("topics", "create"): ("--timeout", "0.1"),
    ("topics", "list"): (),
    ("up",): ("--data-dir", NOWHERE),
}
"""Arguments by which a command ends soon, though nothing runs; others are tried without any."""

SECRETS = ("hunter2", "tocsin_k.secret", "s3cret")
PLAIN: dict[str, Any] = {
    "stdout": "file",
    "stderr": "file",
    "encoding": "utf-8",
    "remove_directory": False,
    "environment": {},
    "unset": [],
}
SURROUNDINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stdout closed": {"stdout": "closed"},
    "stderr closed": {"stderr": "closed"},
    "both closed": {"stdout": "closed", "stderr": "closed"},
    "nobody reads stdout": {"stdout": "broken"},
    "nobody reads stderr": {"stderr": "broken"},
    "disk full": {"stdout": "full"},
    "directory removed": {"remove_directory": True},
    "ascii": {"encoding": "ascii", "environment": {"LANG": "C", "LC_ALL": "POSIX"}},
    "latin-1, no such locale": {"encoding": "latin-1", "environment": {"LC_ALL": "xx_YY.ISO-8859-1"}},
    "turkish, odd zone": {"environment": {"LANG": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"}},
    "no such zone": {"environment": {"TZ": ":Mars/Olympus"}},
    "proxies": {
        "environment": {
            "http_proxy": "http://u:hunter2@127.0.0.1:1",
            "HTTPS_PROXY": "ftp://x",
            "ALL_PROXY": "socks5://127.0.0.1:1",
            "no_proxy": "[::1]",
        }
    },
    "odd data directory": {"environment": {"BROADCAST_DATA_DIR": "/nowhere/Übung, Kreis A = 100 %/" + "n" * 200}},
    "data directory that is not UTF-8": {"environment": {"BROADCAST_DATA_DIR": os.fsdecode(b"/nowhere/\xdcbung")}},
    "no home": {"unset": ["HOME", "USER", "TMPDIR"]},
}


WRONG: list[tuple[str, dict[str, str], str]] = [
    ("alert list", {"BROADCAST_API_CA_FILE": NOWHERE}, "BROADCAST_API_CA_FILE"),
    ("alert list", {"BROADCAST_API_KEY": "s3cret-ü"}, "BROADCAST_API_KEY (not shown)"),
    ("alert list", {"BROADCAST_API_URL": "http://u:hunter2@[::1"}, "BROADCAST_API_URL"),
    ("alert list", {"BROADCAST_SECRETS_DIR": NOWHERE}, "BROADCAST_SECRETS_DIR"),
    ("keys list", {"BROADCAST_DATABASE_URL": "postgresql://me:hunter2@h:port/x"}, "BROADCAST_DATABASE_URL"),
    *(
        (
            command,
            {"BROADCAST_DATABASE_URL": f"postgresql://me:hunter2@127.0.0.1:1/x?{query}"},
            "BROADCAST_DATABASE_URL",
        )
        for command in ("keys list", "database migrate")
        for query in ("sslmode=", "sslmode=bogus", "sslrootcert=/nope&sslmode=verify-full", "nonsense=1")
    ),
    (f"recipients import {ROOT}/examples/people.csv --encoding foo", {}, "encoding is 'foo'"),
    (f"recipients import {ROOT}/examples/people.csv --region Germany", {}, "region is 'Germany'"),
    ("up --routes examples/routes.toml", {"SMSC_PASSWORD": ""}, "examples/routes.toml"),
]
"""Commands with what is wrong in their settings, and what their error must name."""


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from leaves(found, (*path, name))
    else:
        yield path


@pytest.mark.timeout(300)
def test_no_command_breaks_in_odd_surroundings(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    usual = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "USER": "me",
        "BROADCAST_DATA_DIR": str(tmp_path / "data"),
        "BROADCAST_DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/tocsin",
        "BROADCAST_KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "BROADCAST_API_URL": "http://127.0.0.1:1",
        "BROADCAST_API_KEY": "tocsin_k.secret",
        "BROADCAST_ROUTES_FILE": str(ROOT / "examples/routes.toml"),
        "SMSC_PASSWORD": "s3cret",
    }
    tried = [*leaves(root), ("--help",), ("recipients", "import", "--help")]
    cases: list[dict[str, Any]] = []
    names: list[str] = []
    for name, changes in SURROUNDINGS.items():
        wanted = PLAIN | changes
        environment = {
            key: value for key, value in (usual | wanted["environment"]).items() if key not in wanted["unset"]
        }
        for number, path in enumerate(tried):
            directory = tmp_path / f"{len(names)}-{number}"
            directory.mkdir()
            words = [*path, *ARGUMENTS.get(path, ())]
            cases.append(wanted | {"environment": environment, "words": words, "directory": str(directory)})
            names.append(f"{' '.join(path)}, {name}")
    for line, settings, _ in WRONG:
        directory = tmp_path / f"wrong-{len(names)}"
        directory.mkdir()
        given = {"environment": usual | settings, "words": line.split(" "), "directory": str(directory)}
        cases.append(PLAIN | given)
        names.append(f"{line} with {settings}")
    result = tmp_path / "result.json"
    subprocess.run(
        [sys.executable, "-m", "tests.support.forked_commands", result],
        input=json.dumps(cases).encode(),
        cwd=ROOT,
        check=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("BROADCAST_")},
    )
    found = json.loads(result.read_text())
    prints = {str(case["words"]) for case, ended in zip(cases, found, strict=True) if ended["out"]}
    assert len(prints) > 3
    wrong = []
    for name, case, ended in zip(names, cases, found, strict=True):
        said = ended["out"] + ended["err"]
        if "Traceback" in said or "never awaited" in said or ended["code"] not in {0, 1, 2, 141}:
            wrong.append(f"{name}: code {ended['code']}: {said[-300:]}")
        if any(secret in said for secret in SECRETS):
            wrong.append(f"{name}: shows a secret: {said[-300:]}")
        if case["stdout"] == "broken" and str(case["words"]) in prints and ended["code"] != 141:
            wrong.append(f"{name}: code {ended['code']} where nobody reads what it prints")
        is_told = case["stderr"] == "file" and case["stdout"] != "broken"
        if ended["code"] and not ended["err"] and is_told:
            wrong.append(f"{name}: code {ended['code']} without a word")
        if Path(case["directory"]).exists() and list(Path(case["directory"]).iterdir()):
            wrong.append(f"{name}: wrote into the directory where it ran")
    for (line, settings, named), ended in zip(WRONG, found[-len(WRONG) :], strict=True):
        if named not in ended["err"] or not ended["code"]:
            wrong.append(f"{line} with {settings}: code {ended['code']}, does not name {named}: {ended['err'][-300:]}")
    assert wrong == []
    assert list(home.iterdir()) == []
    assert not (tmp_path / "data").exists()
