"""One account's binds: submits leave here, answers and deliveries come in here."""

from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from operator import itemgetter
from typing import Final

import structlog

from broadcast import metrics
from broadcast.alarms import ACCOUNT_CONTRADICTS, ACCOUNT_COSTLY, MESSAGE_REFUSED
from broadcast.clock import epoch_milliseconds, monotonic
from broadcast.routing import Account
from broadcast.sending.accounts.configuration import make_config
from broadcast.sending.accounts.health.breaker import Breaker, State
from broadcast.sending.accounts.health.contents import content_of
from broadcast.sending.accounts.health.lateness import Lateness
from broadcast.sending.accounts.health.observation import AnswerObserver
from broadcast.sending.accounts.health.throttling import Throttling
from broadcast.sending.accounts.selection import POOR_SHARE, Measures
from broadcast.sending.answers.tokens import SegmentAnswers, Submission, Token
from broadcast.sending.arrivals.turns import ArrivalCost
from broadcast.sending.forwarding import Forwarder
from broadcast.sending.metrics import count_answers
from broadcast.sending.protocol import SenderEvents
from broadcast.sending.rules import UNANSWERED
from broadcast.sending.settlement import Settlement
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.codec.message import Delivery
from broadcast.smpp.codec.message_ids import normalise_response_ids
from broadcast.smpp.codec.template import SubmitTemplate
from broadcast.smpp.errors import MuteSessionError, ResponseTimeoutError, UnboundError
from broadcast.smpp.pool import Pool
from broadcast.smpp.rates.sliding_count import SlidingCount
from broadcast.smpp.session import Session
from broadcast.smpp.window import Response
from schemas.job import Job

log = structlog.get_logger(__name__)


UNBIND_SECONDS: Final = 0.5
"""For the answer to our unbind: nothing depends on it any more."""

CONTRADICTIONS_SECONDS: Final = 60.0
"""Between two alarms about an account that takes what it refuses."""

PROBE_SEGMENTS: Final = 10
"""Segments of a probe of an account that did not work: a few jobs, and at least one message."""


class AccountBinds:
    """The sessions of one account and their listener.

    `served` are the segments written, each divided by the account's weight; `poor` says that others are better.
    """

    def __init__(
        self,
        account: Account,
        settlement: Settlement,
        forwarder: Forwarder,
        events: SenderEvents,
        *,
        probe_segments: int = PROBE_SEGMENTS,
        sent: SlidingCount | None = None,
    ) -> None:
        """`sent` counts what the account has sent, also by the binds that it had before."""
        self.account = account
        self.breaker: Final = Breaker(max(probe_segments, PROBE_SEGMENTS))
        self.measures: Final = Measures()
        self.throttling: Final = Throttling()
        self.lateness: Final = Lateness()
        self.served = 0.0
        self.poor = False
        self.pool: Final[Pool[Token]] = Pool(make_config(account), self, number_of=_number_of, sent=sent)
        self._observer: Final = AnswerObserver(self.breaker, self.measures, self.throttling)
        self._settlement: Final = settlement
        self._forwarder: Final = forwarder
        self._events: Final = events
        self._contradictions_told_until = 0.0
        self._cost: Final = ArrivalCost()
        settlement.follow_deliveries(account.name, self.pool.tokens)
        settlement.follow_refusals(account.name, self.breaker)

    @property
    def fallback(self) -> bool:
        """Whether it gets work only when no other account of the route can take any."""
        return self.account.fallback

    @property
    def usable(self) -> bool:
        """Whether it may get work: a bind is bound, the breaker leaves room, and its weight is not 0."""
        return bool(self.account.weight and self.breaker.room and self.pool.sessions)

    @property
    def works(self) -> bool:
        """Whether it gets work, and that is no probe."""
        return self.usable and self.breaker.state is State.CLOSED

    def set_share(self, share: float) -> None:
        """Limit this worker to a share of the account's rate: its share of the route's partitions."""
        rate = self.account.rate_per_second
        if rate is None:
            self.pool.set_rate(None)
        elif share > 0:
            self.pool.set_rate(rate * share)

    def adjust(self, account: Account) -> bool:
        """Work by other settings from now on, with the sessions that are bound; False when they need new ones."""
        config = make_config(account)
        if config.bind != self.pool.config.bind:
            return False
        self.pool.resize(config)
        self.account = account
        return True

    async def drain(self) -> None:
        """Write no more submits, wait for the answers as long as one may need, and unbind."""
        await self.pool.drain(self.account.response_timeout_seconds)

    async def unbind(self) -> None:
        """Unbind all sessions; a submit that is still unanswered is unknown."""
        await self.pool.drain(UNBIND_SECONDS)

    def write(
        self, session: Session[Token], submission: Submission, jobs: Sequence[Job], offsets: Sequence[int]
    ) -> int:
        """Submit jobs in one write, in order; how many were taken.

        All segments of a job are taken, or none. PduError, with nothing taken, for a number that is no address.
        """
        if self.breaker.state is State.HALF_OPEN:
            self.breaker.probe.note_message(content_of(jobs[0]))
        submission.message = submission.message.carried_by(self.account)
        templates = submission.message.templates(self.account, submission.at)
        destinations = [job.msisdn.lstrip("+").encode() for job in jobs]
        if submission.message.control.trial:
            submission.bind = self.pool.bind_of(session)
        elif len(templates) == 1 and (submission.message.total == 1 or not submission.message.numbers[0]):
            tokens: list[Token] = list(zip(repeat(submission), jobs, offsets, repeat(None), repeat(0)))
            count = session.submit(templates[0], destinations, tokens)
            if count:
                self._settlement.note_submitted(submission, offsets[:count], tokens[:count], count)
                self._note_written(count)
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
            self._note_written(count * group)
        return count

    def write_again(self, session: Session[Token], items: Sequence[tuple[SubmitTemplate, bytes, Token]]) -> int:
        """Write submits again that were refused because of the rate; how many were taken."""
        count = session.submit_many(items)
        if count:
            self._note_written(count)
        return count

    def note_receipts(self, delays: Sequence[float], seconds: float, deliveries: int) -> None:
        """Note how many seconds receipts needed that came together, by the SMSC's clock, and the work for them."""
        now = monotonic()
        self.measures.note_receipts(delays, now)
        each = self._cost.note(seconds, deliveries, now)
        if each is not None:
            self._events.raise_alarm(
                ACCOUNT_COSTLY,
                self.account.name,
                f"what the SMSC of account {self.account.name} delivers takes {each * 1000:.0f} ms each to read: the "
                "other accounts go on, but it may mean harm. Ask its operator, and report it with a dump of the PDUs",
            )

    def on_responses(self, session: Session[Token], responses: list[Response[Token]]) -> None:  # noqa: ARG002 - the listener's form
        self._observe(count_answers(self.account.name, map(itemgetter(1), responses)), responses)
        self._settle(responses)

    def on_late(self, session: Session[Token], responses: list[Response[Token]]) -> None:  # noqa: ARG002 - the listener's form
        metrics.smpp_late.labels(self.account.name).inc(len(responses))
        self._settle(responses)

    def on_second(self, session: Session[Token], responses: list[Response[Token]]) -> None:  # noqa: ARG002 - the listener's form
        try:
            tokens = [token for token, *_ in responses]
            self._settlement.settle_second(tokens, self._normalise(responses), epoch_milliseconds())
        except Exception as error:
            self._end_process_unsettled(error)
        self._note_contradictions()

    def on_deliveries(self, session: Session[Token], deliveries: list[Delivery]) -> None:
        try:
            self._settlement.note_deliveries(self.account, deliveries, epoch_milliseconds())
        except Exception as error:
            self._end_process_unsettled(error)
        self._note_contradictions()
        self._forwarder.add(self.account, session, deliveries, self.note_receipts)

    def on_room(self, session: Session[Token]) -> None:  # noqa: ARG002 - the listener's form
        self._events.write_ready()

    def on_lost(self, session: Session[Token], error: SmppError, unanswered: list[Token]) -> None:
        counts = count_answers(self.account.name, repeat(UNANSWERED, len(unanswered)))
        if isinstance(error, ResponseTimeoutError):
            self._observe(counts, [(token, UNANSWERED, b"", 0) for token in unanswered])
            log.warning("submits_unanswered", account=self.account.name, error=str(error), unanswered=len(unanswered))
        else:
            if unanswered and not isinstance(error, UnboundError):
                self._note_loss(error, len(unanswered))
            if unanswered or not isinstance(error, UnboundError):
                log.warning("session_lost", account=self.account.name, error=str(error), unanswered=len(unanswered))
        try:
            now = epoch_milliseconds()
            self._settlement.settle_unanswered(unanswered, now)
            if not isinstance(error, ResponseTimeoutError):
                self._settlement.retry_throttled(now, session.identity)
        except Exception as broken:
            self._end_process_unsettled(broken)
        self._events.write_ready()

    def _note_loss(self, error: SmppError, unanswered: int) -> None:
        if isinstance(error, MuteSessionError):
            self.breaker.note_loss(str(error), monotonic(), unanswered=error.pending + error.given_up, mute=True)
        else:
            self.breaker.note_loss(str(error), monotonic(), unanswered=unanswered, mute=False)

    def _note_written(self, segments: int) -> None:
        self.served += segments / (self.account.weight * (POOR_SHARE if self.poor else 1.0))
        self.breaker.probe.note_written(segments)

    def _observe(self, counts: Counter[int], responses: Sequence[Response[Token]]) -> None:
        spared = self._observer.observe(self.account, counts, responses, monotonic())
        if spared is not None:
            (alert_id, *_), reason = spared
            self._events.raise_alarm(
                MESSAGE_REFUSED,
                alert_id,
                f"account {self.account.name} refuses this message with {reason} and takes others, and no other account"
                " works: its recipients are rejected, or wait for another account of the route. Publish it with "
                "another text, or correct the account",
            )

    def _settle(self, responses: list[Response[Token]]) -> None:
        try:
            self._settlement.settle_many(responses, self._normalise(responses), epoch_milliseconds())
        except Exception as error:
            self._end_process_unsettled(error)
        self._note_contradictions()

    def _normalise(self, responses: list[Response[Token]]) -> Sequence[bytes]:
        return normalise_response_ids(
            [response[2] for response in responses], self.account.message_id_rule, self.account.message_id_width
        )

    def _note_contradictions(self) -> None:
        """Count what the SMSC has taken although it refused it, and tell people, once a minute at most."""
        count = self._settlement.take_contradictions(self.account.name)
        if not count:
            return
        metrics.smpp_contradictions.labels(self.account.name).inc(count)
        if monotonic() >= self._contradictions_told_until:
            self._contradictions_told_until = monotonic() + CONTRADICTIONS_SECONDS
            self._events.raise_alarm(
                ACCOUNT_CONTRADICTS,
                self.account.name,
                f"the SMSC of account {self.account.name} takes submits that it refuses: a second answer or a receipt"
                " says so. Recipients may get several copies; ask its operator, or give the account the weight 0",
            )

    def _end_process_unsettled(self, error: Exception) -> None:
        # asyncio would drop the link and go on, and answers that the session no longer holds would never be settled.
        log.exception("answers_not_settled", account=self.account.name)
        self._events.end_process(1, f"answers could not be settled: {error!r}")


def _number_of(token: Token) -> str:
    return token[1].msisdn
