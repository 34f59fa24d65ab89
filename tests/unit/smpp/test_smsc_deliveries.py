"""What the simulator sends on one connection, in how many writes, and how it counts the client's answers."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.smpp.codec.bind import BindRequest, encode_bind
from broadcast.smpp.codec.command_status import RMSGQFUL, RSYSERR
from broadcast.smpp.codec.message import ShortMessage, encode_message, parse_delivery
from broadcast.smpp.codec.pdu import (
    BIND_TRANSCEIVER,
    DATA_SM_RESP,
    DELIVER_SM,
    DELIVER_SM_RESP,
    SUBMIT_SM,
    SUBMIT_SM_RESP,
    encode_pdu,
)
from broadcast.smsc.behaviour import Behaviour
from broadcast.smsc.links.link import Link
from broadcast.smsc.profile.reading import read_profile
from broadcast.smsc.simulator import Simulator
from tests.support.smpp import MemoryTransport

RECEIPTS = 12


class Client:
    """A client that is bound to a simulator in memory, whose time moves when the test says."""

    def __init__(self, profile: str = "") -> None:
        self.now = 1.0
        self.simulator = Simulator(
            Behaviour(),
            now=lambda: self.now,
            first_number=1_700_000_000_000_001,
            profile=read_profile(profile, "profile.toml"),
        )
        self.link: Link = self.simulator.make_link()
        self.transport = MemoryTransport(self.link)
        self.link.connection_made(self.transport)
        self.sent = 1
        self.link.data_received(encode_pdu(BIND_TRANSCEIVER, 0, 1, encode_bind(BindRequest(b"one", b""))))
        self.transport.take()

    def submit(self, count: int, text: bytes = b"Flood warning") -> bytes:
        """Submits to `count` numbers, for one read of the simulator."""
        first, self.sent = self.sent + 1, self.sent + count
        return b"".join(
            encode_pdu(
                SUBMIT_SM,
                0,
                number,
                encode_message(
                    ShortMessage(
                        source=b"TOCSIN",
                        destination=b"49151%08d" % number,
                        registered_delivery=1,
                        validity_period=b"000001000000000R",
                        short_message=text,
                    )
                ),
            )
            for number in range(first, first + count)
        )


@pytest.mark.parametrize("texts", [[b"Flood warning"], [b"Flood", b"Storm!", b"Fire"]])
async def test_receipts_of_one_read_are_one_write_behind_all_responses(texts: Sequence[bytes]) -> None:
    client = Client()
    client.link.data_received(b"".join(client.submit(70, text) for text in texts))
    assert len(client.transport.pieces) == 2
    sent = client.transport.take()
    count = 70 * len(texts)
    assert [pdu.command for pdu in sent] == [SUBMIT_SM_RESP] * count + [DELIVER_SM] * count
    ids = [pdu.body[:-1] for pdu in sent[:count]]
    assert all(b"id:" + each + b" " in pdu.body for each, pdu in zip(ids, sent[count:], strict=True))
    assert [pdu.sequence for pdu in sent[count:]] == list(range(1, count + 1))


async def test_submits_that_are_answered_late_get_their_own_receipts_behind_their_answers() -> None:
    client = Client("""
[[rules]]
answer.delay_seconds = { exponential = 0.5, at_most = 5 }
receipt.delay_seconds = { uniform = [0, 3] }
[[rules]]
share = 0.3
receipt = { times = 2, intermediate = ["ENROUTE"] }
""")
    pdus = []
    for _ in range(400):
        if client.sent < 200:
            client.link.data_received(client.submit(7))
        client.now += 0.03
        # The timers of the loop know nothing of this clock.
        client.link.send_due_responses()
        client.simulator.update_behaviours()
        pdus += client.transport.take()
    ids = {pdu.body[:-1]: pdu.sequence for pdu in pdus if pdu.command == SUBMIT_SM_RESP}
    assert sorted(ids.values()) == list(range(2, client.sent + 1))
    answered, final, intermediate = set(), Counter[bytes](), Counter[bytes]()
    for pdu in pdus:
        if pdu.command == SUBMIT_SM_RESP:
            answered.add(pdu.body[:-1])
            continue
        receipt = parse_delivery(pdu.body, 0, len(pdu.body), pdu.sequence)
        message_id = receipt.short_message[3:].partition(b" ")[0]
        assert receipt.source == b"49151%08d" % ids[message_id]
        assert message_id in answered
        (intermediate if b"stat:ENROUTE" in receipt.short_message else final)[message_id] += 1
    assert final.keys() == ids.keys()
    assert {message_id for message_id, times in final.items() if times == 2} == intermediate.keys()
    assert 0 < len(intermediate) < len(ids)


answers = st.lists(
    st.lists(
        st.tuples(
            st.integers(1, RECEIPTS + 2),
            st.sampled_from([0, 0, 0, RMSGQFUL, RSYSERR]),
            st.sampled_from([DELIVER_SM_RESP, DELIVER_SM_RESP, DELIVER_SM_RESP, DATA_SM_RESP]),
        ),
        max_size=8,
    )
    | st.integers(1, RECEIPTS).map(lambda first: [(each, 0, DELIVER_SM_RESP) for each in range(first, RECEIPTS + 1)])
    | st.integers(1, RECEIPTS).map(lambda last: [(each, 0, DELIVER_SM_RESP) for each in range(1, last + 1)]),
    max_size=5,
)


@given(answers)
async def test_answers_to_receipts_are_counted_as_one_by_one(reads: list[list[tuple[int, int, int]]]) -> None:
    client = Client()
    for size in (3, 4, 5):
        client.link.data_received(client.submit(size))
    waiting = set(range(1, RECEIPTS + 1))
    counts = {"answered": 0, "resent": 0, "refused": 0, "answer_unexpected": 0, "answer_of_wrong_type": 0}
    for read in reads:
        data = b"".join(encode_pdu(command, status, sequence, b"\0") for sequence, status, command in read)
        client.link.data_received(data)
        for sequence, status, command in read:
            if sequence not in waiting:
                counts["answer_unexpected"] += 1
                continue
            waiting.remove(sequence)
            counts["answer_of_wrong_type"] += command == DATA_SM_RESP
            counts["resent" if status == RMSGQFUL else "refused" if status else "answered"] += 1
    stats = client.simulator.state.metrics
    violations = client.simulator.state.violations.by_kind()
    assert {
        "answered": stats.receipts_answered,
        "resent": stats.receipts_resent,
        "refused": stats.receipts_refused,
        "answer_unexpected": violations.get("answer_unexpected", 0),
        "answer_of_wrong_type": violations.get("answer_of_wrong_type", 0),
    } == counts
    assert len(client.link._sent) == len(waiting)
