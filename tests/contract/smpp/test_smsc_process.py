"""`broadcast smsc` as a process: ready line, statistics, behaviour at run time, a clean end."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TypedDict

import httpx
import pytest

from broadcast.smpp.account import BindConfig
from broadcast.smpp.binding import connect
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.errors import BindError
from tests.support.smpp import StartClient
from tests.support.waiting import eventually


class Ready(TypedDict):
    """The line of JSON that the process prints when it listens."""

    host: str
    port: int
    stats_port: int
    pid: int


@pytest.fixture
def smsc() -> Iterator[tuple[subprocess.Popen[str], Ready]]:
    command = [sys.executable, "-m", "broadcast.smsc.command", "--port", "0", "--json", "--seed", "7"]
    with subprocess.Popen([*command, "--error-share", "throttled=0.0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


async def test_the_whole_life_of_the_process(smsc: tuple[subprocess.Popen[str], Ready], start: StartClient) -> None:
    process, ready = smsc
    assert ready["pid"] == process.pid
    client = await start(port=ready["port"])
    client.offer(1000)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ready['stats_port']}", trust_env=False) as http:
        await client.connect()
        await eventually(lambda: len(client.deliveries) == 1000 and len(client.accepted) == 1000)

        stats = (await http.get("/stats")).json()
        assert (stats["binds_now"], stats["binds_total"], stats["submits"], stats["accepted"]) == (1, 1, 1000, 1000)
        assert (stats["unique_destinations"], stats["duplicates"], stats["receipts_sent"]) == (1000, 0, 1000)
        assert 0 < stats["highest_unanswered"] <= 64
        assert stats["first_submit_at"] <= stats["last_submit_at"]
        assert [bind["system_id"] for bind in stats["binds"]] == ["client"]

        lines = (await http.get("/numbers")).text.splitlines()
        assert sorted(lines) == [f"49151{number:08d} 1" for number in range(1000)]

        client.offer(2, first=5)
        await eventually(lambda: client.outcomes[6] == 2)
        assert (await http.get("/destinations")).json() == {"4915100000005": 2, "4915100000006": 2}
        assert (await http.get("/destinations", params={"min": "3"})).json() == {}
        assert (await http.get("/stats")).json()["duplicates"] == 2

        refused = await http.post("/behaviour", json={"no_such": 1})
        assert (refused.status_code, "no_such" in refused.json()["error"]) == (400, True)
        assert (await http.post("/behaviour", json={"refuse_binds": 13})).json()["refuse_binds"] == 13
        with pytest.raises(BindError):
            await client.connect()
        await http.post("/behaviour", json={"refuse_binds": 0})

        await http.post("/reset")
        stats = (await http.get("/stats")).json()
        assert (stats["submits"], stats["unique_destinations"], stats["binds_now"]) == (0, 0, 1)

        seen = len(client.deliveries)
        message = {"source": "4915100000007", "destination": "TOCSIN", "text": "STOP"}
        assert (await http.post("/messages", json=[message, message])).json() == {"sent": 2, "of": 2}
        await eventually(lambda: len(client.deliveries) == seen + 2)
        assert (client.deliveries[-1].source, client.deliveries[-1].text) == (b"4915100000007", b"STOP")
        assert not client.deliveries[-1].is_receipt
        assert (await http.post("/messages", json=[{"source": "1"}])).status_code == 400

        async def messages_answered() -> bool:
            return bool((await http.get("/stats")).json()["messages_answered"] == 2)

        await eventually(messages_answered)

        assert (await http.post("/close")).json() == {"closed": 1}
        await asyncio.wait_for(client.sessions[0].closed.wait(), 5.0)

        submits = (await http.get("/stats")).json()["submits"]
        assert (await http.post("/away?seconds=0.5")).json() == {"seconds": 0.5}
        with pytest.raises(BindError, match="no connection"):
            await client.connect()
        client.offer(5, first=2000)

        async def bound_again() -> bool:
            with suppress(BindError):
                await client.connect()
            return len(client.sessions) == 2

        await eventually(bound_again)
        await eventually(lambda: not client.queue and client.outcomes[2004] == 1)
        assert (await http.get("/stats")).json()["submits"] == submits + 5
        assert (await http.get("/nothing")).status_code == 404
    process.send_signal(signal.SIGTERM)
    assert process.wait(5.0) == 0


async def test_clients_that_vanish_or_talk_nonsense_do_no_harm(
    smsc: tuple[subprocess.Popen[str], Ready], start: StartClient
) -> None:
    _, ready = smsc
    for port in (ready["port"], ready["stats_port"]):
        for nonsense in (b"", b"\0\0", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0\0\0\1" * 8, b"\xff" * 100):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(nonsense)
            writer.transport.abort()
    client = await start(port=ready["port"])
    client.offer(500)
    session = await client.connect()
    session.abort()
    client.offer(10, first=1000)
    await client.connect()
    await eventually(lambda: not client.queue and len(client.outcomes) == 510)


def test_wrong_options_are_named() -> None:
    for options, word in (
        (["--error-share", "throttled"], "throttled=0.01"),
        (["--error-share", "nonsense=0.1"], "nonsense"),
        (["--hang-share", "2"], "hang-share"),
    ):
        command = [sys.executable, "-m", "broadcast.smsc.command", "--port", "0", *options]
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert result.returncode == 2
        assert word in result.stderr


async def test_a_port_that_is_taken_is_named(smsc: tuple[subprocess.Popen[str], Ready]) -> None:
    _, ready = smsc
    command = [sys.executable, "-m", "broadcast.smsc.command", "--port", str(ready["port"])]
    result = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 1
    assert str(ready["port"]) in result.stderr


async def test_submits_before_a_bind_are_refused(start: StartClient) -> None:
    client = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", client.smsc.port)
    writer.write(bytes(SubmitTemplate(source=b"T", text=b"x").render([9], [b"49151"])))
    assert await asyncio.wait_for(reader.readexactly(16), 5.0) == bytes.fromhex("00000010800000040000000400000009")
    writer.close()
    assert client.smsc.simulator.state.metrics.submits == 0
    session = await connect(BindConfig(host="127.0.0.1", port=client.smsc.port, system_id="x"), client)
    await session.unbind(1.0)
