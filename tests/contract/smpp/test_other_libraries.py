"""Our binds against the SMSC of smpp34, and the client of smpp34 against our simulator, over TCP."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import smpp34

from broadcast.smpp.account import BindConfig
from broadcast.smpp.binding import connect
from broadcast.smpp.codec.message_ids import MessageIdRule, normalise_receipt_ids
from broadcast.smpp.codec.receipts import MessageState, parse_receipt
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.codec.tlv import MESSAGE_STATE, RECEIPTED_MESSAGE_ID
from tests.support.smpp import RecordingListener, StartClient
from tests.support.waiting import eventually

RECEIPT = b"id:%s sub:001 dlvrd:001 submit date:2611271200 done date:2611271201 stat:DELIVRD err:000 text:Flood"


class OtherSmsc:
    """The SMSC of smpp34: accepts each submit, and sends its receipt."""

    def __init__(self) -> None:
        self.submits: list[smpp34.SubmitSmEvent] = []
        self.receipts: list[smpp34.DeliverSmResp] = []
        self._bound: dict[str, smpp34.Esme] = {}

    async def serve(self, server: smpp34.Server) -> None:
        """Answer until cancelled."""
        while True:
            event = await server.next()
            if isinstance(event, smpp34.Esme):
                self._bound[event.session_id] = event
            elif isinstance(event, smpp34.SubmitSmEvent):
                self.submits.append(event)
                message_id = f"{len(self.submits):08X}"
                event.accept(message_id)
                self.receipts.append(
                    await self._bound[event.session_id].deliver_sm(
                        event.source_addr,
                        RECEIPT % message_id.encode(),
                        source_addr=event.destination_addr,
                        esm_class=4,
                        tlvs=[smpp34.Tlv(MESSAGE_STATE, b"\2")],
                    )
                )


@asynccontextmanager
async def other_smsc(port: int) -> AsyncIterator[OtherSmsc]:
    server = smpp34.Server("127.0.0.1", port)
    await server.start()
    smsc = OtherSmsc()
    task = asyncio.create_task(smsc.serve(server))
    try:
        yield smsc
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await server.stop()


class Answering(RecordingListener):
    """Answers each delivery, as the sender does when it is stored."""

    def on_deliveries(self, session, deliveries) -> None:  # type: ignore[no-untyped-def]
        super().on_deliveries(session, deliveries)
        session.answer([delivery.sequence for delivery in deliveries], 0)


async def test_the_smsc_of_smpp34_takes_every_form_and_its_receipts_match() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with other_smsc(port) as smsc:
        listener = Answering()
        session = await connect(BindConfig(host="127.0.0.1", port=port, system_id="tocsin", password="pw"), listener)
        forms = [
            SubmitTemplate(source=b"TOCSIN", text=b"Flood warning", validity_period=b"000001000000000R"),
            SubmitTemplate(source=b"TOCSIN", text=b"\6\x08\4\0\7\2\1part", esm_class=0x40),
            SubmitTemplate(source=b"TOCSIN", text=b"part", tlvs=[(0x020C, b"\0\7"), (0x020E, b"\2"), (0x020F, b"\1")]),
            SubmitTemplate(source=b"TOCSIN", text=b"x" * 600),
        ]
        for number, template in enumerate(forms):
            assert session.submit(template, [b"4915112345678"], [number]) == 1
        await eventually(lambda: len(smsc.receipts) == len(listener.deliveries) == len(forms))
        # It may answer out of order.
        answered = sorted((token, status) for token, status, _, _ in listener.responses)
        assert answered == [(number, 0) for number in range(len(forms))]
        texts = {submit.short_message or submit.tlvs[0].value for submit in smsc.submits}
        assert texts == {b"Flood warning", b"\6\x08\4\0\7\2\1part", b"part", b"x" * 600}
        assert {(submit.esm_class, len(submit.tlvs)) for submit in smsc.submits} == {(0, 0), (0x40, 0), (0, 3), (0, 1)}
        assert all(answer.is_success for answer in smsc.receipts)
        contents = [parse_receipt(delivery) for delivery in listener.deliveries]
        found = [content.message_id for content in contents if content and content.state is MessageState.DELIVERED]
        ids = {message_id for _, _, message_id, _ in listener.responses}
        assert set(normalise_receipt_ids(found, MessageIdRule.AS_IS)) == ids
        assert len(ids) == len(forms)
        await session.unbind(2.0)


async def test_the_client_of_smpp34_binds_submits_and_gets_its_receipts_from_the_simulator(start: StartClient) -> None:
    smsc = (await start()).smsc
    client = smpp34.Client("127.0.0.1", smsc.port, "tocsin", "pw", window_size=10)
    bound = await client.connect()
    async with asyncio.timeout(30):
        answers = [
            await bound.submit_sm(
                f"49151{number:08d}", b"Flood warning", source_addr="TOCSIN", source_addr_ton=5, registered_delivery=1
            )
            for number in range(20)
        ]
        assert all(answer.is_success for answer in answers)
        receipts = [await bound.next() for _ in answers]
        assert all(isinstance(receipt, smpp34.DeliverSmEvent) and receipt.esm_class == 4 for receipt in receipts)
        tlvs = [receipt.tlvs for receipt in receipts if isinstance(receipt, smpp34.DeliverSmEvent)]
        ids = {tlv.as_string() for each in tlvs for tlv in each if tlv.tag == RECEIPTED_MESSAGE_ID}
        assert ids == {answer.message_id for answer in answers}
        await client.stop()
    stats = smsc.simulator.describe()
    assert (stats["submits"], stats["duplicates"]) == (20, 0)
