"""What one session delivered, as records for Kafka."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import structlog

from broadcast import metrics
from broadcast.kafka.batches import KeyValue
from broadcast.pii import number_hasher
from broadcast.routing import Account
from broadcast.sending.arrivals.phone_messages import read_inbound
from broadcast.sending.arrivals.raw_deliveries import make_raw_delivery, reason_unreadable
from broadcast.smpp.codec.errors import PduError
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.message_ids import MessageIdRule, name_rule, normalise_receipt_ids
from broadcast.smpp.codec.receipt_dates import seconds_between
from broadcast.smpp.codec.receipts import is_phone_message, parse_receipt
from schemas.receipt import Receipt, ReceiptState

log = structlog.get_logger(__name__)

_ENCODE: Final = msgspec.json.Encoder().encode


class DeliveryEncoder:
    """Encodes what an SMSC delivers to one route as records for Kafka."""

    def __init__(self, route: str, hash_key: bytes) -> None:
        self._route: Final = route
        self._hash: Final = number_hasher(hash_key)

    def encode(
        self,
        account: Account,
        deliveries: Iterable[Delivery],
        now: int,
        *,
        receipts: list[KeyValue],
        inbound: list[KeyValue],
    ) -> list[float]:
        """Append a record for each delivery of an account to `receipts` or `inbound`.

        One that cannot be read is a record among the receipts too, with its octets. `now` in milliseconds since the
        epoch. Returns the seconds from submit to done date of receipts that have both, by the SMSC's clock.
        """
        parsed = []
        unreadable: list[tuple[Delivery, str]] = []
        key = account.name.encode()
        unclassified = account.receipts_without_esm_class
        for delivery in deliveries:
            receipt = parse_receipt(delivery, unclassified)
            if receipt is not None:
                parsed.append((receipt, delivery.source))
            elif delivery.fault is None and is_phone_message(delivery):
                try:
                    message = read_inbound(delivery, self._route, account.name, now)
                except (PduError, ValueError) as error:
                    unreadable.append((delivery, str(error)))
                else:
                    inbound.append((self._route.encode(), _ENCODE(message)))
            else:
                unreadable.append((delivery, reason_unreadable(delivery)))
        latencies = [seconds_between(receipt.submitted, receipt.done) for receipt, _ in parsed]
        delays = [seconds for seconds in latencies if seconds is not None]
        metrics.observe_batch(metrics.delivery_duration.labels(account.name), delays)
        ids = normalise_receipt_ids(
            [receipt.message_id for receipt, _ in parsed], account.message_id_rule, account.message_id_width
        )
        rule = name_rule(account.message_id_rule, account.message_id_width)
        if rule == MessageIdRule.AS_IS:
            rule = ""
        for (receipt, source), message_id in zip(parsed, ids, strict=True):
            record = Receipt(
                account.name,
                message_id.decode("latin-1"),
                receipt.receipt_state,
                self._hash(source),
                receipt.error,
                now,
                rule,
                receipt.by_text,
            )
            receipts.append((key, _ENCODE(record)))
        if unreadable:
            self._add_unreadable(account, unreadable, now, receipts)
        return delays

    def _add_unreadable(
        self, account: Account, unreadable: Sequence[tuple[Delivery, str]], now: int, receipts: list[KeyValue]
    ) -> None:
        metrics.smpp_unexpected.labels(account.name, "delivery").inc(len(unreadable))
        log.warning("unreadable_deliveries_kept", account=account.name, count=len(unreadable), reason=unreadable[0][1])
        for delivery, reason in unreadable:
            record = Receipt(
                account.name,
                "",
                ReceiptState.UNKNOWN,
                self._hash(delivery.source),
                received_at=now,
                raw=make_raw_delivery(delivery, reason),
            )
            receipts.append((account.name.encode(), _ENCODE(record)))
