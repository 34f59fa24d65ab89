"""Records that are on Kafka already stay readable when a field is left out."""

import msgspec
import pytest

from schemas.receipt import Receipt, ReceiptState


@pytest.mark.parametrize("field", [b"", b'"done_at":0,', b'"done_at":1767268800000,'])
def test_a_receipt_with_a_done_date_is_read_without_it(field: bytes) -> None:
    value = b'{"account":"acc","message_id":"1","state":"delivered",%b"received_at":5}' % field
    assert msgspec.json.decode(value, type=Receipt) == Receipt("acc", "1", ReceiptState.DELIVERED, received_at=5)
