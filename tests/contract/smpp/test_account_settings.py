"""What the routes file says of an account reaches the SMSC over TCP: the bind, and each submit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from broadcast.routing import read_routes
from broadcast.sending.accounts.configuration import make_config
from broadcast.sending.messages import MessageCache
from broadcast.smpp.codec.bind import BindRequest, parse_bind
from broadcast.smpp.codec.message import ShortMessage, parse_message
from broadcast.smpp.codec.pdu import BIND_RECEIVER, BIND_TRANSCEIVER, BIND_TRANSMITTER, SUBMIT_SM, Pdu
from broadcast.smpp.pool import Pool
from schemas.control import Control, Variant
from schemas.lane import Lane
from tests.support.scripted_smsc import ScriptedSmsc, scripted_smsc
from tests.support.smpp import RecordingListener
from tests.support.waiting import eventually

NOW = 1_700_000_000_000
TEXT = "Flood warning for the lower town. Leave your house and go to higher ground. " * 4


def account_of(port: int, fields: str) -> Any:
    """The account of a routes file with these fields."""
    text = f"""
[[routes]]
name = "r"
prefixes = ["+"]
[[routes.accounts]]
name = "a"
host = "127.0.0.1"
port = {port}
system_id = "tocsin"
password = "secret"
{fields}
"""
    (route,) = read_routes(text)
    return route.accounts[0]


@asynccontextmanager
async def bound(fields: str, binds: int = 1) -> AsyncIterator[tuple[ScriptedSmsc, Any, Pool[int]]]:
    """An SMSC, an account of it, and its pool when so many binds are bound."""
    async with scripted_smsc() as smsc:
        account = account_of(smsc.port, fields)
        pool: Pool[int] = Pool(make_config(account), RecordingListener())
        pool.start()
        await eventually(lambda: len(smsc.binds) == binds and bool(pool.sessions))
        try:
            yield smsc, account, pool
        finally:
            pool.abort()
            await eventually(lambda: not smsc.open_now)


async def submits(fields: str) -> list[ShortMessage]:
    """The submits of a text, as the SMSC gets them."""
    async with bound(fields) as (smsc, account, pool):
        control = Control("a" * 36, Lane.IMMEDIATE, "Actual", NOW + 3_600_000, (Variant("en", TEXT),))
        message = MessageCache(6).find(control, 0, "", ()).carried_by(account)
        for number, template in enumerate(message.templates(account, NOW)):
            assert pool.sessions[0].submit(template, [b"4915112345678"], [number]) == 1
        received: list[Pdu] = await smsc.until_received(len(message.numbers))
        bodies = [pdu.body for pdu in received if pdu.command == SUBMIT_SM]
        return [parse_message(body, 0, len(body)) for body in bodies]


async def test_the_bind_has_version_type_and_address_range_of_the_account() -> None:
    fields = """
interface_version = "5.0"
system_type = "CMT"
addr_ton = 1
addr_npi = 1
address_range = "^49.*"
"""
    async with bound(fields) as (smsc, _, _):
        (bind,) = smsc.binds
        assert bind.command == BIND_TRANSCEIVER
        assert parse_bind(bind.body) == BindRequest(b"tocsin", b"secret", b"CMT", 0x50, 1, 1, b"^49.*")


@pytest.mark.parametrize(("version", "octet"), [("3.3", 0x33), ("3.4", 0x34), ("5.0", 0x50)])
async def test_each_version_has_its_octet(version: str, octet: int) -> None:
    async with bound(f'interface_version = "{version}"') as (smsc, _, _):
        assert parse_bind(smsc.binds[0].body).interface_version == octet


async def test_transmitters_and_receivers_are_binds_of_their_own() -> None:
    fields = 'bind_mode = "transmitter_receiver"\ntransmitters = 2\nreceivers = 1'
    async with bound(fields, binds=3) as (smsc, account, pool):
        await eventually(lambda: len(pool.sessions) == account.submitting_binds == 2)
        assert sorted(bind.command for bind in smsc.binds) == [BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSMITTER]


@pytest.mark.parametrize(
    ("form", "count", "esm_class"), [("udh", 2, 0x40), ("udh8", 2, 0x40), ("sar", 2, 0), ("payload", 1, 0)]
)
async def test_a_long_text_leaves_in_the_form_of_the_account(form: str, count: int, esm_class: int) -> None:
    parts = await submits(f'long_messages = "{form}"')
    assert [part.esm_class for part in parts] == [esm_class] * count
    assert {part.destination for part in parts} == {b"4915112345678"}
    assert all((form in {"sar", "payload"}) is bool(part.optional) for part in parts)


async def test_each_setting_of_a_message_is_in_its_submits() -> None:
    parts = await submits(
        """
source_addr = "112"
dest_ton = 2
dest_npi = 8
service_type = "CBS"
priority_flag = { immediate = 3 }
flash = { immediate = true }
validity = "absolute"
validity_limit_seconds = 600
receipts = false
long_messages = "payload"
replace_if_present = true
"""
    )
    (part,) = parts
    assert (part.source, part.source_ton, part.source_npi) == (b"112", 3, 0)
    assert (part.destination_ton, part.destination_npi, part.service_type) == (2, 8, b"CBS")
    assert (part.priority_flag, part.data_coding, part.registered_delivery) == (3, 0x10, 0)
    assert (part.validity_period, part.replace_if_present) == (b"231114222320000+", 1)
