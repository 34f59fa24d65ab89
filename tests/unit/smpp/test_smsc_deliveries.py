"""What the simulator sends on one connection, in how many writes, and how it counts the client's answers."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.smpp.codec.bind import BindRequest, encode_bind
from broadcast.smpp.codec.command_status import RMSGQFUL, RSYSERR
from broadcast.smpp.codec.message import ShortMessage, encode_message
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
from broadcast.smsc.simulator import Simulator
from tests.support.smpp import MemoryTransport

RECEIPTS = 12


class Client:
    """A client that is bound to a simulator in memory, whose time does not move."""

    def __init__(self) -> None:
        self.simulator = Simulator(Behaviour(), now=lambda: 1.0, first_number=1_700_000_000_000_001)
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
