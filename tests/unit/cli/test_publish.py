"""`broadcast alert publish --print`: what would be published, without an API."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broadcast.cap import read_cap
from broadcast.cli import root
from broadcast.errors import InputError
from schemas.alert import ALERT_BYTES_MAX, Alert, read_alert

EXAMPLES = Path(__file__).parents[3] / "examples"


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(root, ["alert", "publish", *arguments], input=stdin)


def read(name: str, content: bytes) -> Alert:
    return read_cap(content)[0] if name.endswith(".xml") else read_alert(content)


@pytest.mark.parametrize("name", ["flood.xml", "flood.json"])
def test_now_prints_a_new_message_and_what_it_changed(name: str) -> None:
    before = read(name, (EXAMPLES / name).read_bytes())
    first, second = (run("--now", "--print", str(EXAMPLES / name)) for _ in range(2))
    assert first.exit_code == 0, first.output
    alert, other = read(name, first.stdout_bytes), read(name, second.stdout_bytes)
    assert alert.identifier.startswith(f"{before.identifier}-")
    assert alert.identifier != other.identifier
    assert abs(alert.sent - datetime.now(UTC)) < timedelta(minutes=1)
    assert alert.info[0].expires is not None
    assert before.info[0].expires is not None
    assert alert.info[0].expires - alert.sent == before.info[0].expires - before.sent
    assert f"identifier: {before.identifier} -> {alert.identifier}" in first.stderr
    for field in ("sent: 2030-03-01T06:00:00-00:00 -> ", "info[0].expires: 2030-03-01T12:00:00-00:00 -> "):
        assert field in first.stderr


def test_json_is_printed_on_one_line_so_that_kcat_sends_one_record() -> None:
    assert run("--now", "--print", str(EXAMPLES / "flood.json")).stdout.count("\n") == 1


SENT = "2031-01-02T03:04:05-00:00"


@pytest.mark.parametrize("given", [("--identifier", "same"), ("--sent", SENT)])
def test_half_of_what_names_an_alert_is_refused_since_it_would_be_sent_twice(given: tuple[str, str]) -> None:
    refused = run("--now", *given, "--print", str(EXAMPLES / "flood.xml"))
    missing = "--sent" if given[0] == "--identifier" else "--identifier"
    assert (refused.exit_code, refused.stdout) == (2, "")
    said = " ".join(refused.stderr.split())
    assert f"add {missing}" in said
    assert f"leave {given[0]} out" in said


def test_identifier_and_sent_together_make_the_very_same_again() -> None:
    options = ("--now", "--identifier", "same", "--sent", SENT, "--print", str(EXAMPLES / "flood.xml"))
    first, second = run(*options), run(*options)
    assert first.exit_code == 0, first.output
    assert first.stdout_bytes == second.stdout_bytes
    assert read_cap(first.stdout_bytes)[0].identifier == "same"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_without_now_the_file_is_printed_as_it_is(encoding: str) -> None:
    text = (EXAMPLES / "flood.xml").read_text(encoding="utf-8")
    content = text.replace("UTF-8", encoding).encode(encoding)
    printed = run("--print", "-", stdin=content)
    assert printed.stdout_bytes == content
    assert printed.stderr == ""


def test_an_alert_that_cannot_be_read_is_refused_with_its_field() -> None:
    for content in (b'{"identifier": "x"}', b"<alert/>"):
        refused = run("--now", "--print", "-", stdin=content)
        assert isinstance(refused.exception, InputError)
        assert refused.exception.findings
    refused = run("--now", "-", stdin=(EXAMPLES / "flood.json").read_bytes().replace(b'"Test"', b'"Real"'))
    assert isinstance(refused.exception, InputError)
    assert refused.exception.findings[0][:2] == ("status", "6.2")


PUBLISH = (sys.executable, "-m", "broadcast", "alert", "publish")


@pytest.mark.parametrize("file", ["-", "/dev/zero"])
def test_input_without_end_is_refused_after_the_most_octets_of_an_alert(file: str) -> None:
    with Path("/dev/zero").open("rb") as endless:
        ended = subprocess.run(
            [*PUBLISH, "--print", file], stdin=endless, capture_output=True, text=True, timeout=20, check=False
        )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"FILE {file}: has more than {ALERT_BYTES_MAX:,} octets" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 1), ("| true", 141)])
def test_printing_to_a_stdout_that_is_closed_fails_without_a_traceback(redirection: str, code: int) -> None:
    command = f"{' '.join(PUBLISH)} --print {EXAMPLES / 'flood.json'} {redirection}; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
