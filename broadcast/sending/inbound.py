"""A message from a phone as it goes to Kafka. Pure."""

from typing import Final

from broadcast.smpp.codec.message import Delivery
from broadcast.text import gsm, ucs2
from schemas.inbound import Inbound

_UDHI: Final = 0x40


def read_inbound(delivery: Delivery, route: str, account: str, now: int) -> Inbound:
    """The message with its text decoded by data_coding (SMPP 3.4, 5.2.19); a user data header is left out.

    data_coding 0 is the SMSC's own alphabet, read as GSM 03.38, unpacked. `now` in milliseconds since the epoch.
    """
    data = delivery.text
    if delivery.esm_class & _UDHI and data:
        data = data[data[0] + 1 :]
    match delivery.data_coding:
        case 8:
            text = ucs2.decode(data)
        case 1 | 3:
            text = data.decode("latin-1")
        case _:
            text = gsm.decode(data)
    return Inbound(route, account, _number(delivery.source), _number(delivery.destination), text, now)


def _number(address: bytes) -> str:
    return address.decode("latin-1")
