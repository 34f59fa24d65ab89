"""What cannot be undone is not done where its output cannot be written, and is never repeated under another name."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from json import dumps, loads
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from broadcast.cli import root
from broadcast.errors import UnavailableError

EXAMPLE = Path(__file__).parents[3] / "examples/flood.json"
ID = "1135c17b-1840-567c-9a9c-f61c165ff3a6"
Answer = tuple[int, dict[str, Any]]
UNCONFIRMED: Answer = (503, {"detail": "Kafka did not confirm within 5 s", "unconfirmed": True})
AWAY: Answer = (503, {"detail": "Kafka cannot be reached, and nothing was accepted; repeat the request"})
ACCEPTED: Answer = (202, {"alert_id": ID, "state": "accepted", "warnings": []})
STOPPED: Answer = (202, {"alert_id": ID, "state": "cancelled", "note": "nothing more of it is submitted"})


@contextmanager
def answering(*answers: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """An API that gives these answers, the last one for ever; its URL, and the bodies that it got."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = answers[min(len(bodies), len(answers)) - 1]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        server.server_close()


def run(url: str, words: str, redirection: str = "", before: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"BROADCAST_API_URL": url, "BROADCAST_API_KEY": "tocsin_x.y", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["bash", "-c", f"{before}{sys.executable} -B -m broadcast {words} {redirection}"],
        env=environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def invoke(url: str, *words: str) -> Result:
    """The same within this process, which is faster: stdout is no file then."""
    environment = {"BROADCAST_API_URL": url, "BROADCAST_API_KEY": "tocsin_x.y"}
    return CliRunner().invoke(root, ["alert", "publish", *words], env=environment)


def test_what_is_not_confirmed_is_asked_again_octet_by_octet_until_it_is() -> None:
    with answering(UNCONFIRMED, AWAY, ACCEPTED) as (url, bodies):
        ended = invoke(url, "--now", "--wait", "3", "--json", str(EXAMPLE))
    assert len(bodies) >= 3
    assert len(set(bodies[:3])) == 1
    assert "not confirmed yet" in ended.stderr


def test_an_alert_that_stays_unconfirmed_is_named_and_can_be_repeated_as_it_is() -> None:
    with answering(UNCONFIRMED, AWAY) as (url, bodies):
        ended = invoke(url, "--now", "--wait", "0.3", str(EXAMPLE))
        assert ended.exit_code == 4, ended.stderr
        alert_id = ended.stdout.strip()
        assert len(alert_id) == len(ID)
        assert f"do not publish it again with --now; look with `broadcast alert show {alert_id}`" in ended.stderr
        repeat = next(line for line in ended.stderr.splitlines() if "the very same, which is sent once: " in line)
        again = invoke(url, *shlex.split(repeat.partition("sent once: broadcast alert publish ")[2]))
        assert isinstance(again.exception, UnavailableError), "that Kafka is away says that nothing was accepted"
    assert len(set(bodies)) == 1
    with answering(UNCONFIRMED) as (url, bodies):
        named = loads(invoke(url, "--no-wait", "--json", str(EXAMPLE)).stdout)
    assert len(bodies) == 1
    assert (named["state"], named["identifier"]) == ("not confirmed", loads(bodies[0])["identifier"])
    assert named["repeat"] == f"broadcast alert publish {EXAMPLE}"


@pytest.mark.parametrize(
    "words", [f"alert publish --no-wait {EXAMPLE}", f"alert cancel {ID}", "test-send +4915123456789"]
)
def test_an_act_is_not_begun_if_stdout_takes_nothing(words: str) -> None:
    with answering(ACCEPTED) as (url, bodies):
        ended = run(url, words, ">/dev/full")
    assert (ended.returncode, bodies) == (1, [])
    assert "nothing was done" in ended.stderr


def test_the_id_is_on_stderr_if_stdout_is_closed() -> None:
    with answering(ACCEPTED, STOPPED) as (url, _):
        published = run(url, f"alert publish --no-wait {EXAMPLE}", ">&-")
        stopped = run(url, f"alert cancel {ID}", ">&-")
    assert (published.returncode, stopped.returncode) == (0, 0)
    assert ID in published.stderr
    assert f"alert {ID} is stopped" in stopped.stderr


def test_an_output_that_fails_after_the_act_says_what_is_done_with_a_code_of_its_own(tmp_path: Path) -> None:
    with answering(ACCEPTED) as (url, bodies):
        # A limit of the size of files is not known before the write.
        ended = run(url, f"alert publish --no-wait {EXAMPLE}", f">>{tmp_path / 'out'}", before="ulimit -f 0; ")
    assert (ended.returncode, len(bodies)) == (6, 1), ended.stderr
    assert f"the alert is published as {ID}; do not repeat it" in ended.stderr
