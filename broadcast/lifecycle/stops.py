"""What a cancel by id or by a CAP Cancel does and says, by the state of the alert. Pure."""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple
from uuid import UUID

from broadcast.lifecycle.references import Known, Successor
from broadcast.lifecycle.states import AlertState
from schemas.alert import Reference

STOPPED_NOTHING: Final = "stopped nothing: "
"""What the reason of a Cancel begins with when no alert that it names was live."""

INCOMPLETE: Final = "incomplete"
"""The event of a Cancel that has stopped some alerts, and left an Update in the place of another."""

NAMED_MAX: Final = 10
"""So many alerts are named of those of which the same is said; the others are counted."""


class Answer(NamedTuple):
    """The answer to a cancel: `stops` says that a stop is written; if not, the cancel is refused.

    `state` is the alert's when the stop is stored, `words` say for people what a stop still does. `again`: the stop
    is written again.
    """

    stops: bool
    state: AlertState
    words: str
    again: bool = False

    @property
    def note(self) -> str:
        """What the API answers."""
        return f"{self.words}; {_AGAIN}" if self.again else self.words


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
    _S.CANCELLED: Answer(True, _S.CANCELLED, "it was cancelled before", again=True),
    _S.SUPERSEDED: Answer(True, _S.SUPERSEDED, "an Update had replaced it", again=True),
    _S.REFUSED: Answer(False, _S.REFUSED, f"it was refused before; {_NOTHING_MORE}"),
    _S.EXPIRED: Answer(False, _S.EXPIRED, f"it had expired before; {_NOTHING_MORE}"),
}
"""The answer by state. A CAP Cancel stops the same alerts (`EFFECTS`); others are stopped again."""


_UNKNOWN: Final = "is not known here; check sender,identifier,sent"


def describe_stops(named: Iterable[tuple[Reference, Known | None]], left: Collection[UUID]) -> str:
    """What a CAP Cancel did to each alert that it names, for people. `left` are the ids of Updates that it leaves.

    What a person has to do something about comes first; alerts of which the same is said stand together.
    """
    grouped: dict[tuple[int, str], dict[str, None]] = {}
    for reference, known in named:
        grouped.setdefault(_say(known, left), {})[str(reference)] = None
    return ". ".join(f"{_name(list(references))}: {words}" for (_, words), references in sorted(grouped.items()))


def _say(known: Known | None, left: Collection[UUID]) -> tuple[int, str]:
    # The rank of the words, and the words.
    if known is None:
        return 1, _UNKNOWN
    updates = [_say_left(each) for each in known.successors if each.alert_id in left]
    return (0, "; ".join(updates)) if updates else (2, CANCEL_ANSWERS[known.state].words)


def _say_left(update: Successor) -> str:
    completed = update.state is AlertState.COMPLETED
    state = "completed and may still be sent again" if completed else f"still {update.state}"
    return (
        f"was replaced by Update {update.reference}, which is {state}; "
        f"`broadcast alert cancel {update.alert_id}` stops that"
    )


def _name(references: list[str]) -> str:
    more = len(references) - NAMED_MAX
    return " ".join(references[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
