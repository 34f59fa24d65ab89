"""Messages from phones, as records for Kafka."""

from broadcast.smpp.codec.message import UDHI, Delivery
from broadcast.text import gsm, ucs2
from schemas.inbound import Inbound


def read_inbound(delivery: Delivery, route: str, account: str, now: int) -> Inbound:
    """A message from a phone, with its text decoded by data_coding (SMPP 3.4, 5.2.19).

    A user data header is left out. data_coding 0 is the SMSC's own alphabet, read as GSM 03.38, unpacked. `now` in
    milliseconds since the epoch.
    """
    data = delivery.text
    if delivery.esm_class & UDHI and data:
        data = data[data[0] + 1 :]
    match delivery.data_coding:
        case 8:
            text = ucs2.decode(data)
        case 1 | 3:
            text = data.decode("latin-1")
        case _:
            text = gsm.decode(data)
    return Inbound(route, account, _decode_address(delivery.source), _decode_address(delivery.destination), text, now)


def _decode_address(address: bytes) -> str:
    return address.decode("latin-1")
