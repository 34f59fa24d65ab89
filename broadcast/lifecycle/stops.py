"""What a cancel by alert id does and answers, by the state of the alert, as one literal table. Pure."""

from typing import NamedTuple

from broadcast.lifecycle.states import AlertState


class Answer(NamedTuple):
    """The answer to a cancel: `stops` says that a stop is written; if not, the cancel is refused.

    `state` is the alert's when the stop is stored, `words` say for people what the stop still does.
    """

    stops: bool
    state: AlertState
    words: str


_S = AlertState
_NOTHING_MORE = "nothing more of it is submitted"
_AGAIN = "the stop is written again, in case it was not before"

CANCEL_ANSWERS: dict[AlertState | None, Answer] = {
    # Not planned yet, or PostgreSQL is away.
    None: Answer(True, _S.CANCELLED, _NOTHING_MORE),
    _S.ACCEPTED: Answer(True, _S.CANCELLED, _NOTHING_MORE),
    _S.PENDING_APPROVAL: Answer(True, _S.REFUSED, _NOTHING_MORE),
    _S.EXPANDING: Answer(True, _S.CANCELLED, _NOTHING_MORE),
    _S.SENDING: Answer(True, _S.CANCELLED, _NOTHING_MORE),
    # Everybody has an outcome, and some may still be sent another copy: unanswered, or undelivered on their route.
    _S.COMPLETED: Answer(
        True,
        _S.COMPLETED,
        "it stays completed, since everything was handed over already; no copy is sent again, and none by another "
        "route. The people who got it are not told: publish an Update of it for that",
    ),
    _S.CANCELLED: Answer(True, _S.CANCELLED, f"it was cancelled before; {_AGAIN}"),
    _S.SUPERSEDED: Answer(True, _S.SUPERSEDED, f"an Update had replaced it; {_AGAIN}"),
    _S.REFUSED: Answer(False, _S.REFUSED, _NOTHING_MORE),
    _S.EXPIRED: Answer(False, _S.EXPIRED, _NOTHING_MORE),
}
"""The answer by state. A CAP Cancel stops the same alerts (`EFFECTS`); others are stopped again."""
