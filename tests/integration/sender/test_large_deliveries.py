"""An SMSC that answers nothing and delivers as much as it can: beats go on, and so do all other accounts."""

from collections import Counter
from pathlib import Path

import pytest

from broadcast.settings import Settings
from broadcast.smpp.codec.message import ShortMessage, encode_message
from broadcast.smpp.codec.pdu import DELIVER_SM, DELIVER_SM_RESP, SUBMIT_SM, Pdu
from broadcast.smpp.codec.tlv import MESSAGE_PAYLOAD, encode_tlvs
from schemas.inbound import Inbound
from schemas.lane import Lane
from schemas.status import Outcome
from tests.support.scripted_smsc import scripted_smsc
from tests.support.sender_setup import open_route
from tests.support.waiting import eventually

FLOOD = 1_000
EVERYBODY = range(1, 1_001)
MEMORY_KILOBYTES = 500_000

SECOND_ACCOUNT = """
rate_per_second = 200
[[routes.accounts]]
name = "flooding"
host = "127.0.0.1"
port = {port}
system_id = "tocsin"
simulated = true
source_addr = "TOCSIN"
window = 8
"""

LARGE = [
    (0, 0, b"\x1b(" * 32_500),
    (0, 8, b"\xd8\x00" * 32_500),
    (0, 3, b"\x01" * 65_000),
    (4, 0, b"1" * 65_000),
    (4, 0, b"id: " * 16_250),
]
"""esm_class, data_coding and text of deliveries that take long to read."""


def deliver(number: int) -> Pdu:
    esm_class, data_coding, text = LARGE[number % len(LARGE)]
    optional = encode_tlvs([(MESSAGE_PAYLOAD, text)])
    body = ShortMessage(source=b"447700900123", esm_class=esm_class, data_coding=data_coding, optional=optional)
    return Pdu(DELIVER_SM, 0, number, encode_message(body))


@pytest.mark.timeout(180)
async def test_a_flood_of_the_largest_deliveries_ends_no_sender_and_holds_up_no_other_account(
    kafka_settings: Settings, tmp_path: Path
) -> None:
    async with (
        scripted_smsc() as smsc,
        open_route(kafka_settings, tmp_path, account=SECOND_ACCOUNT.format(port=smsc.port)) as route,
    ):
        sender = await route.start_sender()
        alert = await route.publish(lane=Lane.IMMEDIATE)
        await route.put_jobs(alert, EVERYBODY, lane=Lane.IMMEDIATE)
        await eventually(lambda: smsc.of(SUBMIT_SM), "the SMSC has a submit", within_seconds=30)
        smsc.send(*map(deliver, range(1, FLOOD + 1)))

        def all_answered() -> bool:
            return len(smsc.of(DELIVER_SM_RESP)) == FLOOD

        async def others_accepted() -> bool:
            outcomes = Counter(status.outcome for status in await route.statuses())
            return outcomes[Outcome.ACCEPTED] == len(EVERYBODY) - len(smsc.of(SUBMIT_SM))

        await eventually(others_accepted, "everybody else is accepted", within_seconds=20)
        await eventually(all_answered, "every delivery is answered", within_seconds=60)
        stored = [pdu.sequence for pdu in smsc.of(DELIVER_SM_RESP) if pdu.status == 0]
        messages = await route.records(route.names.inbound, Inbound)
        assert len(messages) >= len([number for number in stored if not LARGE[number % len(LARGE)][0]]) > 0
        assert {len(message.text) for message in messages} == {65_000, 32_500}
        # Nothing ended it, and no submit was written a second time.
        assert sender.process.returncode is None
        assert "process_ended" not in sender.text()
        assert smsc.connections == 1
        assert len(smsc.of(SUBMIT_SM)) <= 8
        memory = Path(f"/proc/{sender.process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
        assert int(memory) < MEMORY_KILOBYTES
