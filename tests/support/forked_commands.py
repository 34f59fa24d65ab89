"""Runs many commands in odd surroundings, each in a fork of a process that has loaded the commands already.

Reads a JSON list of cases from stdin, and writes what became of each as JSON to the file that it is given.
"""

import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import alembic.command  # noqa: F401 (loaded once for all forks)

from broadcast import cli

ALARM_SECONDS = 20


def main() -> None:
    """Run every case, and write their results."""
    cases = json.load(sys.stdin)
    group = cli.root
    assert isinstance(group, cli.LazyGroup)
    for name in cli.COMMANDS:
        group.get_command(None, name)  # type: ignore[arg-type]
    Path(sys.argv[1]).write_text(json.dumps([_run(case) for case in cases]), encoding="utf-8")


def _run(case: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _become(case, out.fileno(), err.fileno())
        _, status = os.waitpid(pid, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return {
        "code": os.waitstatus_to_exitcode(status),
        "out": texts[0],
        "err": texts[1],
        "seconds": round(time.monotonic() - began, 2),
    }


def _become(case: dict[str, Any], out: int, err: int) -> None:
    # The code is 70 where the command leaves by an exception: what the interpreter would show as a traceback.
    code = 70
    try:
        os.setsid()
        os.environ.clear()
        os.environ.update(case["environment"])
        time.tzset()
        os.chdir(case["directory"])
        if case["remove_directory"]:
            Path(case["directory"]).rmdir()
        tell = os.dup(err)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        _redirect(1, case["stdout"], out)
        _redirect(2, case["stderr"], err)
        encoding = case["encoding"]
        sys.stdin = open(0, encoding=encoding, closefd=False)  # noqa: SIM115
        for number, name in ((1, "stdout"), (2, "stderr")):
            stream = open(number, "w", encoding=encoding, closefd=False) if case[name] != "closed" else None  # noqa: SIM115
            setattr(sys, name, stream)
        sys.argv = ["broadcast", *map(os.fsdecode, map(os.fsencode, case["words"]))]
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException as error:
            os.write(tell, f"Traceback: {type(error).__name__}: {error!r}\n".encode(errors="backslashreplace"))
        if sys.stdout is not None:
            sys.stdout.flush()
        with suppress(OSError):
            sys.stderr.flush()
    except BaseException as error:
        os.write(err, f"Traceback: {type(error).__name__}: {error!r}\n".encode(errors="backslashreplace"))
    finally:
        os._exit(code)


def _redirect(number: int, kind: str, file: int) -> None:
    if kind == "closed":
        os.close(number)
    elif kind == "full":
        os.dup2(os.open("/dev/full", os.O_WRONLY), number)
    elif kind == "broken":
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, number)
    else:
        os.dup2(file, number)


if __name__ == "__main__":
    main()
