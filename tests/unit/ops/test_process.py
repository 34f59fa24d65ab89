"""A process from start to end: exit codes, signals, a stop that takes too long."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from broadcast.errors import FENCED_EXIT_CODE

ROOT = Path(__file__).parents[3]

PROGRAM = """
import asyncio, os, signal
from broadcast import process
from broadcast.errors import FencedError, SettingsError

async def fail(what):
    raise FencedError("another has it") if what.startswith("fenced") else SettingsError("BROADCAST_X is wrong")

async def run(settings, health, stop):
    what = os.environ["WHAT"]
    if what == "fenced":
        raise FencedError("another has it")
    if what == "refused":
        raise SettingsError("BROADCAST_X is wrong")
    if what in ("fenced in a group", "refused in a group"):
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(what))
    if what == "broken":
        raise ZeroDivisionError("oops")
    if what == "told to reload":
        os.kill(os.getpid(), signal.SIGHUP)
    if what == "late":
        process.STOP_LIMIT_SECONDS = 0.1
    os.kill(os.getpid(), signal.SIGTERM)
    await stop.wait()
    if what == "late":
        await asyncio.sleep(60)

process.run_process("planner", lambda: run, command="streams planner", probes=os.environ["WHAT"] == "stopped")
"""


def run(what: str, **more: str) -> tuple[int, list[dict[str, object]], str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "WHAT": what}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment | more, cwd=ROOT, capture_output=True, text=True, check=False
    )
    lines = ended.stderr.splitlines()
    return ended.returncode, [json.loads(line) for line in lines if line.startswith("{")], ended.stderr


@pytest.mark.parametrize(
    ("what", "code", "events"),
    [
        ("stopped", 0, ["process_started", "process_stopped"]),
        ("told to reload", 0, ["process_started", "reload_ignored", "process_stopped"]),
        ("fenced", FENCED_EXIT_CODE, ["process_started", "process_fenced"]),
        ("refused", 1, ["process_started", "process_failed"]),
        ("fenced in a group", FENCED_EXIT_CODE, ["process_started", "process_fenced"]),
        ("refused in a group", 1, ["process_started", "process_failed"]),
        ("broken", 1, ["process_started", "process_failed"]),
        ("late", 1, ["process_started", "stop_limit_exceeded"]),
    ],
)
def test_how_a_process_ends(what: str, code: int, events: list[str]) -> None:
    ended, lines, text = run(what)
    assert ended == code, text
    assert [line["event"] for line in lines] == events
    assert {line["stage"] for line in lines} == {"planner"}
    assert ("metrics_port" in lines[0]) == (what == "stopped")


def test_a_wrong_setting_is_told_in_words_before_anything_starts() -> None:
    code, lines, text = run("stopped", BROADCAST_METRICS_PORT="many")
    assert (code, lines) == (1, [])
    assert text.startswith("streams planner: BROADCAST_METRICS_PORT")


def test_sigint_stops_too() -> None:
    program = PROGRAM.replace("SIGTERM", "SIGINT")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "WHAT": "stopped"}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr


STUCK = """
import asyncio, time
from broadcast.health import Health, http_server

async def main():
    async with http_server.serve(Health("planner"), "127.0.0.1", 0) as port:
        print(port, flush=True)
        await asyncio.to_thread(input)
        time.sleep(60)

asyncio.run(main())
"""


def test_a_blocked_event_loop_does_not_answer_healthz() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUCK], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            url = f"http://127.0.0.1:{int(process.stdout.readline())}/healthz"
            assert httpx.get(url, timeout=5, trust_env=False).status_code == 200
            process.stdin.write("block\n")
            process.stdin.flush()
            # The thread that waits for the line gives it to the loop, which then stands still.
            for _ in range(100):
                try:
                    httpx.get(url, timeout=0.3, trust_env=False)
                except httpx.TimeoutException:
                    break
            else:
                pytest.fail("answers although its loop is blocked")
        finally:
            process.kill()
