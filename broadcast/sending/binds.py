"""One account's binds: submits are written here, answers and deliveries come in here."""

from collections.abc import Callable, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Final

import structlog

from broadcast import metrics
from broadcast.clock import epoch_milliseconds
from broadcast.routing import Account
from broadcast.sending.forwarding import Receipts
from broadcast.sending.metrics import count_answers
from broadcast.sending.rules import UNANSWERED
from broadcast.sending.settlement import Sent, Settlement, Submission, Token
from broadcast.smpp.account import AccountConfig, BindConfig, Tls
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.receipts import normalise_response_ids
from broadcast.smpp.errors import ResponseTimeoutError, UnboundError
from broadcast.smpp.pool import Pool
from broadcast.smpp.session import Session
from broadcast.smpp.window import Response
from schemas.job import Job

log = structlog.get_logger(__name__)


class AccountBinds:
    """The listener of every session of an account."""

    def __init__(
        self,
        account: Account,
        settlement: Settlement,
        receipts: Receipts,
        *,
        on_room: Callable[[], None],
        fail: Callable[[str], None],
    ) -> None:
        self.account: Final = account
        self.pool: Final[Pool[Token]] = Pool(make_config(account), self)
        self._settlement: Final = settlement
        self._receipts: Final = receipts
        self._announce: Final = on_room
        self._fail: Final = fail

    def set_share(self, share: float) -> None:
        """This worker holds that share of the route's partitions, and has that share of the account's rate."""
        rate = self.account.rate_per_second
        if rate is not None and share > 0:
            self.pool.set_rate(rate * share)

    def write(
        self, session: Session[Token], submission: Submission, jobs: Sequence[Job], offsets: Sequence[int]
    ) -> int:
        """Submit jobs in one write, in order; how many were taken. Their segments are taken together or not at all."""
        templates = submission.message.templates(self.account, submission.at)
        destinations = [job.msisdn.lstrip("+").encode() for job in jobs]
        if len(templates) == 1:
            tokens: list[Token] = list(zip(repeat(submission), jobs, offsets, repeat(None), repeat(0)))
            count = session.submit(templates[0], destinations, tokens)
            self._take(submission, offsets[:count], tokens[:count], count)
            return count
        group = len(templates)
        items = []
        first = []
        for job, offset, destination in zip(jobs, offsets, destinations, strict=True):
            sent = Sent(group)
            tokens = [(submission, job, offset, sent, part) for part in range(group)]
            first.append(tokens[0])
            items += [(template, destination, token) for template, token in zip(templates, tokens, strict=True)]
        count = session.submit_many(items, group) // group
        self._take(submission, offsets[:count], first[:count], count * group)
        return count

    def _take(self, submission: Submission, offsets: Sequence[int], tokens: Sequence[Token], submits: int) -> None:
        if submits:
            submission.progress.take(offsets, tokens)
            self._settlement.in_doubt += submits

    def on_responses(self, session: Session[Token], responses: list[Response[Token]]) -> None:  # noqa: ARG002 - the listener's form
        count_answers(self.account.name, map(itemgetter(1), responses))
        self._settle(responses)

    def on_late(self, session: Session[Token], responses: list[Response[Token]]) -> None:  # noqa: ARG002 - the listener's form
        metrics.smpp_late.labels(self.account.name).inc(len(responses))
        self._settle(responses)

    def on_deliveries(self, session: Session[Token], deliveries: list[Delivery]) -> None:
        self._receipts.add(self.account, session, deliveries)

    def on_room(self, session: Session[Token]) -> None:  # noqa: ARG002 - the listener's form
        self._announce()

    def on_lost(self, session: Session[Token], error: SmppError, unanswered: list[Token]) -> None:  # noqa: ARG002 - the listener's form
        count_answers(self.account.name, repeat(UNANSWERED, len(unanswered)))
        if isinstance(error, ResponseTimeoutError):
            log.warning("submits_unanswered", account=self.account.name, error=str(error), unanswered=len(unanswered))
        elif unanswered or not isinstance(error, UnboundError):
            log.warning("session_lost", account=self.account.name, error=str(error), unanswered=len(unanswered))
        try:
            self._settlement.lose(unanswered, epoch_milliseconds())
        except Exception as broken:
            self._stumble(broken)
        self._announce()

    def _settle(self, responses: list[Response[Token]]) -> None:
        try:
            ids = normalise_response_ids([response[2] for response in responses], self.account.message_id_rule)
            self._settlement.settle_many(responses, ids, epoch_milliseconds())
        except Exception as error:
            self._stumble(error)

    def _stumble(self, error: Exception) -> None:
        # asyncio would drop the link and go on, and answers that the session no longer holds would never be settled.
        log.exception("answers_not_settled", account=self.account.name)
        self._fail(f"answers could not be settled: {error!r}")


def make_config(account: Account) -> AccountConfig:
    """An account of the routes file as the SMPP room wants it."""
    tls = account.tls
    return AccountConfig(
        name=account.name,
        bind=BindConfig(
            host=account.host,
            port=account.port,
            system_id=account.system_id,
            password=account.password.get_secret_value() if account.password else "",
            system_type=account.system_type,
            tls=None
            if tls is None
            else Tls(tls.ca_file, tls.certificate_file, tls.key_file, tls.server_name or account.host),
            window=account.window,
            connect_timeout_seconds=account.connect_timeout_seconds,
            response_timeout_seconds=account.response_timeout_seconds,
            enquire_link_seconds=account.enquire_link_seconds,
            throttle_pause_seconds=account.throttle_pause_seconds,
            inactivity_seconds=account.inactivity_seconds,
        ),
        binds=account.binds,
        rate_per_second=account.rate_per_second,
        message_id_rule=account.message_id_rule,
        backoff_seconds=account.backoff_seconds,
        backoff_limit_seconds=account.backoff_limit_seconds,
    )
