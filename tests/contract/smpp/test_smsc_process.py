"""`broadcast smsc` as a process: ready line, statistics, behaviour at run time, a clean end."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from broadcast.smpp.account import BindConfig
from broadcast.smpp.binding import connect
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.errors import BindError


@pytest.fixture
def smsc() -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-m", "broadcast.smsc.command", "--port", "0", "--json", "--seed", "7"]
    with subprocess.Popen([*command, "--error-share", "throttled=0.0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


async def test_the_whole_life_of_the_process(smsc: tuple[subprocess.Popen[str], dict[str, Any]], start: Any) -> None:
    process, ready = smsc
    assert ready["pid"] == process.pid
    desk = await start()
    desk.smsc.port = ready["port"]
    desk.offer(1000)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ready['stats_port']}", trust_env=False) as client:
        await desk.connect()
        await desk.until(lambda: len(desk.deliveries) == 1000 and len(desk.accepted) == 1000)

        stats = (await client.get("/stats")).json()
        assert (stats["binds_now"], stats["binds_total"], stats["submits"], stats["accepted"]) == (1, 1, 1000, 1000)
        assert (stats["unique_destinations"], stats["duplicates"], stats["receipts_sent"]) == (1000, 0, 1000)
        assert 0 < stats["highest_unanswered"] <= 64
        assert stats["first_submit_at"] <= stats["last_submit_at"]
        assert [bind["system_id"] for bind in stats["binds"]] == ["desk"]

        lines = (await client.get("/numbers")).text.splitlines()
        assert sorted(lines) == [f"49151{number:08d} 1" for number in range(1000)]

        desk.offer(2, first=5)
        await desk.until(lambda: desk.outcomes[6] == 2)
        assert (await client.get("/destinations")).json() == {"4915100000005": 2, "4915100000006": 2}
        assert (await client.get("/destinations", params={"min": "3"})).json() == {}
        assert (await client.get("/stats")).json()["duplicates"] == 2

        refused = await client.post("/behaviour", json={"no_such": 1})
        assert (refused.status_code, "no_such" in refused.json()["error"]) == (400, True)
        assert (await client.post("/behaviour", json={"refuse_binds": 13})).json()["refuse_binds"] == 13
        with pytest.raises(BindError):
            await desk.connect()
        await client.post("/behaviour", json={"refuse_binds": 0})

        await client.post("/reset")
        stats = (await client.get("/stats")).json()
        assert (stats["submits"], stats["unique_destinations"], stats["binds_now"]) == (0, 0, 1)

        seen = len(desk.deliveries)
        message = {"source": "4915100000007", "destination": "TOCSIN", "text": "STOP"}
        assert (await client.post("/messages", json=[message, message])).json() == {"sent": 2, "of": 2}
        await desk.until(lambda: len(desk.deliveries) == seen + 2)
        assert (desk.deliveries[-1].source, desk.deliveries[-1].text) == (b"4915100000007", b"STOP")
        assert not desk.deliveries[-1].is_receipt
        assert (await client.post("/messages", json=[{"source": "1"}])).status_code == 400
        async with asyncio.timeout(5.0):
            while (await client.get("/stats")).json()["messages_answered"] != 2:
                await asyncio.sleep(0.01)

        assert (await client.post("/close")).json() == {"closed": 1}
        await asyncio.wait_for(desk.sessions[0].closed.wait(), 5.0)

        submits = (await client.get("/stats")).json()["submits"]
        assert (await client.post("/away?seconds=0.5")).json() == {"seconds": 0.5}
        with pytest.raises(BindError, match="no connection"):
            await desk.connect()
        await asyncio.sleep(0.7)
        desk.offer(5, first=2000)
        await desk.connect()
        await desk.until(lambda: not desk.queue and desk.outcomes[2004] == 1)
        assert (await client.get("/stats")).json()["submits"] == submits + 5
        assert (await client.get("/nothing")).status_code == 404
    process.send_signal(signal.SIGTERM)
    assert process.wait(5.0) == 0


async def test_clients_that_vanish_or_talk_nonsense_do_no_harm(
    smsc: tuple[subprocess.Popen[str], dict[str, Any]], start: Any
) -> None:
    _, ready = smsc
    for port in (ready["port"], ready["stats_port"]):
        for nonsense in (b"", b"\0\0", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0\0\0\1" * 8, b"\xff" * 100):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(nonsense)
            writer.transport.abort()
    desk = await start()
    desk.smsc.port = ready["port"]
    desk.offer(500)
    session = await desk.connect()
    session.abort()
    desk.offer(10, first=1000)
    await desk.connect()
    await desk.until(lambda: not desk.queue and len(desk.outcomes) == 510)


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


async def test_a_port_that_is_taken_is_named(smsc: tuple[subprocess.Popen[str], dict[str, Any]]) -> None:
    _, ready = smsc
    command = [sys.executable, "-m", "broadcast.smsc.command", "--port", str(ready["port"])]
    result = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 1
    assert str(ready["port"]) in result.stderr


async def test_submits_before_a_bind_are_refused(start: Any) -> None:
    desk = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.smsc.port)
    writer.write(bytes(SubmitTemplate(source=b"T", text=b"x").render([9], [b"49151"])))
    assert await asyncio.wait_for(reader.readexactly(16), 5.0) == bytes.fromhex("00000010800000040000000400000009")
    writer.close()
    assert desk.smsc.simulator.state.metrics.submits == 0
    session = await connect(BindConfig(host="127.0.0.1", port=desk.smsc.port, system_id="x"), desk)
    await session.unbind(1.0)
