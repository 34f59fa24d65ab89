"""Consecutive deliver_sm of one form, such as the receipts of one alert, read at once (SMPP 3.4, 4.6.1)."""

import struct
from functools import lru_cache
from itertools import repeat
from typing import Final

from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.pdu import DELIVER_SM, HEADER_LENGTH, iterate_runs

LEAST: Final = 4
"""Fewer are read one by one at less cost."""

FIRST: Final = LEAST
"""Read at first: of a run that ends soon, no more than four times what fits is read in vain."""
_ADDRESS_TYPE_LENGTH: Final = 2


def read_alike(data: bytes, offset: int, length: int, first: Delivery, deliveries: list[Delivery], *, most: int) -> int:
    """Append the deliver_sm from `offset` that differ from `first` in number, source, text and TLVs only.

    They are at most `most`. `first` is the deliver_sm of `length` octets in front of `offset`. Returns how many octets
    were read; 0 when the next ones have another form.
    """
    kind = data[offset - length : offset - length + 8]
    if not (data.startswith(kind, offset) and data.startswith(kind, offset + (LEAST - 1) * length)):
        return 0
    body = offset - length + HEADER_LENGTH
    before = data.index(b"\0", body) + 1 + _ADDRESS_TYPE_LENGTH - body
    digits, text, optional = len(first.source), len(first.short_message), len(first.optional)
    between = length - HEADER_LENGTH - before - digits - text - optional
    head, middle = data[body : body + before], data[body + before + digits : body + before + digits + between]
    for place in (0, LEAST - 1):
        at = offset + place * length + HEADER_LENGTH
        if not (data.startswith(head, at) and data.startswith(middle, at + before + digits)):
            return 0
    layout = _make_layout(before, digits, between, text, optional)
    esm_class, destination, data_coding = map(repeat, (first.esm_class, first.destination, first.data_coding))
    read = 0
    for count, columns in iterate_runs(data, offset, length, layout, DELIVER_SM, most=most, first=FIRST):
        _, _, sequences, heads, sources, middles, texts, optionals = columns
        fitting = count
        if heads.count(head) != count or middles.count(middle) != count or 0 in b"".join(sources):
            fitting = next(
                place
                for place, (one, source, other) in enumerate(zip(heads, sources, middles, strict=True))
                if one != head or other != middle or 0 in source
            )
        found = map(Delivery, sequences[:fitting], esm_class, sources, destination, data_coding, texts, optionals)
        deliveries.extend(found)
        read += fitting * length
        if fitting < count:
            break
    return read


@lru_cache(maxsize=256)
def _make_layout(before: int, digits: int, between: int, text: int, optional: int) -> struct.Struct:
    return struct.Struct(f">II4xI{before}s{digits}s{between}s{text}s{optional}s")
