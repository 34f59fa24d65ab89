"""What the simulator does with one submit: a function of seed, destination and number of repetitions. Pure."""

from typing import Final, NamedTuple

from broadcast.smpp.codec.receipts import MessageState
from broadcast.smsc.behaviour import Behaviour

MASK: Final = (1 << 64) - 1
"""Of words of 64 bits."""
WORD: Final = 1 << 32


class ReceiptForm(NamedTuple):
    """How a receipt is written; empty strings and None stand for what the behaviour of the account says.

    `pdu` deliver_sm or data_sm; `text` standard (Appendix B), csv, seconds, no_dates, short, garbage or none; `coding`
    default, latin1 or ucs2; `payload`: the text in message_payload; `tlvs` standard, none, unknown, malformed or
    state_only; `esm_class` None: the one of a receipt; `id`: how the message id is written.
    """

    pdu: str = "deliver_sm"
    text: str = "standard"
    coding: str = "default"
    payload: bool = False
    tlvs: str = ""
    esm_class: int | None = None
    id: str = ""
    error: str = ""


STANDARD_FORM: Final = ReceiptForm()


class ReceiptPlan(NamedTuple):
    """The receipts of one submit: final state, how often, when, and in which form.

    `delay` is in seconds, added to the behaviour's; `early`: before the response; `intermediate` states come first, as
    intermediate notifications; `unknown_too`: one more for an id that was never given.
    """

    state: MessageState = MessageState.DELIVERED
    times: int = 1
    delay: float = 0.0
    early: bool = False
    unknown_too: bool = False
    intermediate: tuple[MessageState, ...] = ()
    form: ReceiptForm = STANDARD_FORM


STANDARD_RECEIPT: Final = ReceiptPlan()


class SubmitPlan(NamedTuple):
    """command_status of the response (0: accepted), and how response and receipts differ from the normal case.

    `delay` is in seconds, added to the behaviour's delay_ms. `unanswered`: no response; then `takes` says whether the
    phone gets the message all the same. `body` of the response is "" (as the behaviour says), none, empty, id or
    garbage; `nack`: a generic_nack instead; `cut`: the connection ends before, in or after the response; `answers`: how
    often the response is sent; `tlvs` none, unknown or malformed.
    """

    status: int = 0
    unanswered: bool = False
    takes: bool = True
    delay: float = 0.0
    body: str = ""
    nack: bool = False
    cut: str = ""
    answers: int = 1
    tlvs: str = "none"
    receipt: ReceiptPlan = STANDARD_RECEIPT

    @property
    def reaches_client(self) -> bool:
        """The client gets the whole response."""
        return not self.unanswered and self.cut not in {"before", "in"}


STANDARD_PLAN: Final = SubmitPlan()


def mix(value: int) -> int:
    """splitmix64: 64 well mixed bits from any integer."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


class SubmitPlanner:
    """Makes the plans of a behaviour's shares, whatever the order of submits, their bind or their TCP segment."""

    def __init__(self, seed: int, behaviour: Behaviour) -> None:
        self._seed: Final = mix(seed)
        self._plain: Final = not behaviour.has_shares
        self._takes: Final = behaviour.hang_takes
        self._thresholds: list[tuple[float, int]] = []
        reached = 0.0
        for status, share in behaviour.statuses():
            reached += share
            self._thresholds.append((reached * WORD, status))
        self._unanswered: Final = (reached * WORD, (reached + behaviour.hang_share) * WORD)
        self._undelivered: Final = behaviour.undelivered_share * WORD
        self._first: Final = behaviour.receipt_first_share * WORD
        self._twice: Final = behaviour.receipt_twice_share * WORD
        self._unknown: Final = behaviour.receipt_unknown_share * WORD

    def plan(self, destination: int, repetition: int) -> SubmitPlan:
        """The plan for a submit to `destination` after `repetition` submits of the same message to it."""
        if self._plain:
            return STANDARD_PLAN
        first = mix(self._seed ^ (destination * 31 + repetition))
        second = mix(first)
        third = mix(second)
        draw = first & 0xFFFFFFFF
        status = 0
        for threshold, candidate in self._thresholds:
            if draw < threshold:
                status = candidate
                break
        unanswered = self._unanswered[0] <= draw < self._unanswered[1]
        return SubmitPlan(
            status=status,
            unanswered=unanswered,
            takes=self._takes,
            receipt=ReceiptPlan(
                state=MessageState.UNDELIVERABLE if first >> 32 < self._undelivered else MessageState.DELIVERED,
                early=second & 0xFFFFFFFF < self._first,
                times=2 if second >> 32 < self._twice else 1,
                unknown_too=third & 0xFFFFFFFF < self._unknown,
            ),
        )
