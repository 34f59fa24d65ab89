"""One account's binds: submits leave here, answers and deliveries come in here."""

from collections.abc import Sequence
from itertools import repeat
from operator import itemgetter
from typing import Final

import structlog

from broadcast import metrics
from broadcast.clock import epoch_milliseconds
from broadcast.routing import Account
from broadcast.sending.forwarding import Forwarder
from broadcast.sending.metrics import count_answers
from broadcast.sending.protocol import SenderEvents
from broadcast.sending.rules import UNANSWERED
from broadcast.sending.settlement import SegmentAnswers, Settlement, Submission, Token
from broadcast.smpp.account import AccountConfig, BindConfig, Tls
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.message_ids import normalise_response_ids
from broadcast.smpp.errors import ResponseTimeoutError, UnboundError
from broadcast.smpp.pool import Pool
from broadcast.smpp.session import Session
from broadcast.smpp.window import Response
from schemas.job import Job

log = structlog.get_logger(__name__)


UNBIND_SECONDS: Final = 0.5
"""For the answer to our unbind: nothing depends on it any more."""


class AccountBinds:
    """The sessions of one account and their listener; `last_loss` is why the last session ended."""

    def __init__(self, account: Account, settlement: Settlement, forwarder: Forwarder, events: SenderEvents) -> None:
        self.account: Final = account
        self.pool: Final[Pool[Token]] = Pool(make_config(account), self)
        self.last_loss: SmppError | None = None
        self._settlement: Final = settlement
        self._forwarder: Final = forwarder
        self._events: Final = events

    def set_share(self, share: float) -> None:
        """Limit this worker to a share of the account's rate: its share of the route's partitions."""
        rate = self.account.rate_per_second
        if rate is not None and share > 0:
            self.pool.set_rate(rate * share)

    async def unbind(self) -> None:
        """Unbind all sessions; a submit that is still unanswered is unknown."""
        await self.pool.drain(UNBIND_SECONDS)

    def write(
        self, session: Session[Token], submission: Submission, jobs: Sequence[Job], offsets: Sequence[int]
    ) -> int:
        """Submit jobs in one write, in order; how many were taken.

        All segments of a job are taken, or none. PduError, with nothing taken, for a number that is no address.
        """
        templates = submission.message.templates(self.account, submission.at)
        destinations = [job.msisdn.lstrip("+").encode() for job in jobs]
        if len(templates) == 1:
            tokens: list[Token] = list(zip(repeat(submission), jobs, offsets, repeat(None), repeat(0)))
            count = session.submit(templates[0], destinations, tokens)
            if count:
                self._settlement.note_submitted(submission, offsets[:count], tokens[:count], count)
            return count
        group = len(templates)
        items = []
        first = []
        for job, offset, destination in zip(jobs, offsets, destinations, strict=True):
            answers = SegmentAnswers(group)
            tokens = [(submission, job, offset, answers, part) for part in range(group)]
            first.append(tokens[0])
            items += [(template, destination, token) for template, token in zip(templates, tokens, strict=True)]
        count = session.submit_many(items, group) // group
        if count:
            self._settlement.note_submitted(submission, offsets[:count], first[:count], count * group)
        return count

    def on_responses(self, session: Session[Token], responses: list[Response[Token]]) -> None:  # noqa: ARG002 - the listener's form
        count_answers(self.account.name, map(itemgetter(1), responses))
        self._settle(responses)

    def on_late(self, session: Session[Token], responses: list[Response[Token]]) -> None:  # noqa: ARG002 - the listener's form
        metrics.smpp_late.labels(self.account.name).inc(len(responses))
        self._settle(responses)

    def on_deliveries(self, session: Session[Token], deliveries: list[Delivery]) -> None:
        self._forwarder.add(self.account, session, deliveries)

    def on_room(self, session: Session[Token]) -> None:  # noqa: ARG002 - the listener's form
        self._events.write_ready()

    def on_lost(self, session: Session[Token], error: SmppError, unanswered: list[Token]) -> None:  # noqa: ARG002 - the listener's form
        count_answers(self.account.name, repeat(UNANSWERED, len(unanswered)))
        if isinstance(error, ResponseTimeoutError):
            log.warning("submits_unanswered", account=self.account.name, error=str(error), unanswered=len(unanswered))
        else:
            self.last_loss = error
            if unanswered or not isinstance(error, UnboundError):
                log.warning("session_lost", account=self.account.name, error=str(error), unanswered=len(unanswered))
        try:
            self._settlement.settle_unanswered(unanswered, epoch_milliseconds())
        except Exception as broken:
            self._end_process_unsettled(broken)
        self._events.write_ready()

    def _settle(self, responses: list[Response[Token]]) -> None:
        try:
            ids = normalise_response_ids(
                [response[2] for response in responses], self.account.message_id_rule, self.account.message_id_width
            )
            self._settlement.settle_many(responses, ids, epoch_milliseconds())
        except Exception as error:
            self._end_process_unsettled(error)

    def _end_process_unsettled(self, error: Exception) -> None:
        # asyncio would drop the link and go on, and answers that the session no longer holds would never be settled.
        log.exception("answers_not_settled", account=self.account.name)
        self._events.end_process(1, f"answers could not be settled: {error!r}")


def make_config(account: Account) -> AccountConfig:
    """An account of the routes file as a configuration of `broadcast.smpp`."""
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
