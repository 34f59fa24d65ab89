"""A watch asks a server again after every error that may pass, and says who does not answer and since when."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from broadcast import cli
from broadcast.api.client import open_client
from broadcast.cli import main, root
from broadcast.cli.terminal import outage
from broadcast.cli.terminal.outage import Outage, RepeatedReads
from broadcast.errors import InputError, UnavailableError
from broadcast.settings import Settings

CUT = 0
"""The server ends the connection without an answer."""
ALERT = "01890000-0000-7000-8000-000000000001"
REFUSED = {"alert_id": ALERT, "state": "refused", "reason": "no group", "audience": None}

SENT = {"alert_id": ALERT, "recipient_id": 1, "route": "home", "account": "", "simulated": False}


@contextmanager
def answering(*codes: int) -> Iterator[str]:
    """A server that answers with these codes, the last one for ever, and what it is asked for; its address."""
    left = list(codes)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code = left.pop(0) if len(left) > 1 else left[0]
            if code == CUT:
                return
            body: dict[str, Any] = {"detail": f"says {code}"}
            if code == 200:
                body = {"alarms": []} if "alarms" in self.path else REFUSED
            self._send(code, body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._send(202, SENT)

        def _send(self, code: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def settings_of(url: str, directory: Path) -> Settings:
    return Settings(data_dir=directory, api_url=url, api_key=SecretStr("tocsin_x.y"))


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "REPEAT_SECONDS", 0.01)


@pytest.mark.parametrize("code", [CUT, 429, 500, 502, 503, 504, 507])
def test_what_may_pass_is_asked_again_until_it_is_answered(code: int, tmp_path: Path) -> None:
    told: list[Outage] = []
    with answering(code, code, 200) as url, open_client(settings_of(url, tmp_path)) as api:
        reads = RepeatedReads(api, told.append)
        assert reads.get("/v1/alerts/a")["state"] == "refused"
    assert len(told) == 1, "the second failure comes too early for a second line"
    assert ("broke off" if code == CUT else f"says {code}") in told[0].error
    assert "no answer since" in told[0].describe()
    assert "the alert goes on without this display; do not publish it again" in told[0].describe()
    assert reads.outage(time.monotonic()) is None
    assert reads.outages == 1


@pytest.mark.parametrize("code", [401, 403, 404])
def test_what_stays_is_told_at_once(code: int, tmp_path: Path) -> None:
    with (
        answering(code) as url,
        open_client(settings_of(url, tmp_path)) as api,
        pytest.raises(InputError, match=f"says {code}"),
    ):
        RepeatedReads(api).get("/v1/alerts/a")


def test_with_a_deadline_the_error_is_raised_after_it(tmp_path: Path) -> None:
    with answering(503) as url, open_client(settings_of(url, tmp_path)) as api:
        deadline = time.monotonic() + 0.05
        with pytest.raises(UnavailableError, match="says 503"):
            RepeatedReads(api, deadline=deadline).get("/v1/alerts/a")


def test_an_outage_is_told_at_doubling_distances(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(outage, "FIRST_LINE_SECONDS", 0.1)
    told: list[Outage] = []
    with answering(*[503] * 60, 200) as url, open_client(settings_of(url, tmp_path)) as api:
        RepeatedReads(api, told.append).get("/v1/alerts/a")
    times = [each.seconds for each in told]
    assert 2 <= len(times) <= 7
    assert all(later >= 2 * earlier for earlier, later in pairwise(times[1:]))


def watch(url: str, directory: Path, *options: str) -> Result:
    environment = {"BROADCAST_DATA_DIR": str(directory), "BROADCAST_API_URL": url, "BROADCAST_API_KEY": "tocsin_x.y"}
    return CliRunner().invoke(root, ["alert", "watch", ALERT, *options], env=environment)


def test_watching_goes_on_after_an_outage_and_ends_with_the_alert(tmp_path: Path) -> None:
    with answering(CUT, 503, 200) as url:
        watched = watch(url, tmp_path)
    assert watched.exit_code == 3, watched.output
    failed, progress = watched.stdout.splitlines()
    assert f"alert {ALERT}: no answer since" in failed
    assert "refused" in progress


def test_a_program_that_watches_gets_the_error_as_an_object_and_then_the_progress(tmp_path: Path) -> None:
    with answering(500, 200) as url:
        watched = watch(url, tmp_path, "--json")
    assert watched.exit_code == 3, watched.output
    failed, progress = map(json.loads, watched.stdout.splitlines())
    assert (failed["alert_id"], failed["error"]) == (ALERT, "says 500 (HTTP 500)")
    assert failed["since"]
    assert progress["state"] == "refused"


def test_watching_an_alert_that_does_not_exist_ends(tmp_path: Path) -> None:
    with answering(404) as url:
        assert watch(url, tmp_path).exit_code == 1


def test_what_a_finding_says_again_is_printed_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise InputError(
            "number 0170 is wrong (HTTP 422)", (("number", "E.164", "number 0170 is wrong"), ("a", "R1", "b!"))
        )

    monkeypatch.setattr(cli, "root", refuse)
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == "broadcast: number 0170 is wrong (HTTP 422)\n  a: b! [R1]\n"


def test_a_test_message_whose_end_is_not_known_is_not_to_be_sent_again(tmp_path: Path) -> None:
    environment = {"BROADCAST_DATA_DIR": str(tmp_path), "BROADCAST_API_KEY": "tocsin_x.y"}
    with answering(503) as url:
        words = ["test-send", "+4915123456789", "--wait", "0.1", "--json"]
        sent = CliRunner().invoke(root, words, env=environment | {"BROADCAST_API_URL": url})
    found = json.loads(sent.stdout)
    assert (sent.exit_code, found["state"], found["alert_id"]) == (1, "accepted", ALERT)
    assert "says 503" in found["meaning"]
    assert "do not send another one" in found["next_step"]
    assert "no answer since" in sent.stderr


def test_an_api_that_is_stopped_is_asked_again_and_one_that_never_was_reached_is_not(tmp_path: Path) -> None:
    told: list[Outage] = []
    with answering(200) as url, open_client(settings_of(url, tmp_path)) as api:
        reads = RepeatedReads(api, told.append)
        reads.get("/v1/alerts/a")
    with open_client(settings_of(url, tmp_path)) as api:
        started = RepeatedReads(api, told.append, time.monotonic() + 0.1, answered=True)
        with pytest.raises(UnavailableError, match="cannot be reached"):
            started.get("/v1/alerts/a")
        assert len(told) == 1
        with pytest.raises(UnavailableError, match="cannot be reached"):
            RepeatedReads(api, told.append).get("/v1/alerts/a")
        assert len(told) == 1, "it is told at once"
