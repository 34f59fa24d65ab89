"""A broker that cannot write a transaction's markers: it sends them to itself through a port that a test may close."""

from collections.abc import Iterable

from aiokafka.client import AIOKafkaClient

from broadcast.embedded.ports import LOOPBACK, find_free_port
from broadcast.embedded.servers.kafka import Kafka
from broadcast.kafka.markers import ENDING, Coordinator

PROPERTIES = "server.properties"
TRIES = 10


def send_markers_through(kafka: Kafka, port: int) -> int:
    """Have a stopped broker reach itself through `port` from its next start on; the port that this must lead to.

    A commit is answered before its markers are sent, so that one which is answered while `port` leads nowhere stays
    invisible, as if the broker was killed in the milliseconds between.
    """
    file = kafka.directory / PROPERTIES
    target = find_free_port()
    lines = []
    for line in file.read_text().splitlines():
        name, _, value = line.partition("=")
        match name:
            case "listeners":
                value += f",MARKERS://{LOOPBACK}:{target}"
            case "advertised.listeners":
                value += f",MARKERS://{LOOPBACK}:{port}"
            case "listener.security.protocol.map":
                value += ",MARKERS:PLAINTEXT"
            case "inter.broker.listener.name":
                value = "MARKERS"
        lines.append(f"{name}={value}" if value else line)
    # It asks itself through the same listener whether a record may belong to its transaction.
    lines.append("transaction.partition.verification.enable=false")
    file.write_text("\n".join(lines) + "\n")
    return target


async def restart_without_markers(kafka: Kafka, transactional_ids: Iterable[str]) -> None:
    """Kill such a broker and start it until it takes these ended transactions for complete; their markers are lost.

    It looks for their partitions' leader again and again, and once the old registration has run out there is none for
    a moment. Whether it notes that in time for its own log is a matter of luck, about four times in five.
    """
    for _ in range(TRIES):
        await kafka.kill9()
        await kafka.start()
        if not await is_ending(kafka, transactional_ids):
            return
    raise AssertionError(f"the broker still is to write markers after {TRIES} starts")


async def is_ending(kafka: Kafka, transactional_ids: Iterable[str]) -> bool:
    """True if a transaction of one of these has an end that is noted, and lacks markers."""
    client = AIOKafkaClient(bootstrap_servers=kafka.bootstrap)
    await client.bootstrap()
    try:
        described = [await Coordinator(client, one).describe() for one in transactional_ids]
    finally:
        await client.close()
    return any(last is not None and last.state in ENDING for last in described)
