"""Whether an alert is sent, to whom, in which words and until when; or why not. Pure.

API and planner both ask here. The API asks before anything is stored, so without routes and without what
PostgreSQL holds (`Facts`); the planner asks with both. What it refuses for the API, it refuses for the planner at the
same instant.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from broadcast.cap import CapError, RenderingError, TargetError, groups_of, lane_of, render, require_valid
from broadcast.errors import InputError
from broadcast.lifecycle import (
    ACTIONS,
    STOPPED_NOTHING,
    Action,
    Decision,
    Known,
    Transition,
    decide,
    ends_of,
    expires_at,
    in_force,
    may_carry,
    participants_only,
)
from broadcast.routing import Route, Simulation, simulated_names, simulation_of
from broadcast.settings import Settings
from broadcast.text.counts import counted
from schemas.alert import Alert, Reference, Status
from schemas.control import Variant
from schemas.lane import Lane


@dataclass(frozen=True, slots=True)
class Content:
    """What an alert says of itself. `faults` say why `groups` or `variants` are empty.

    `variants` are the texts as phones show them, rendered once, here. Nothing is sent from `expires_at` on. `broken`
    says which rules of CAP the alert breaks.
    """

    lane: Lane
    groups: tuple[str, ...]
    variants: tuple[Variant, ...]
    expires_at: datetime
    faults: tuple[InputError, ...] = ()
    broken: InputError | None = None

    def require_variants(self) -> tuple[Variant, ...]:
        """The texts; raises the fault that leaves none."""
        for fault in self.faults:
            raise fault
        return self.variants


@dataclass(frozen=True, slots=True)
class Facts:
    """What PostgreSQL holds that bears on one alert.

    `known` are those alerts that its references name. `namesake` is the same alert under another id, unless that was
    refused; `replaced_by` is an Update that named this one before it came, and was sent. `has_people` says whether its
    groups hold anybody it may be sent to; only an Update is asked that. `suggestion` says which groups may be meant by
    those that are missing.
    """

    known: Sequence[Known] = ()
    namesake: UUID | None = None
    cancelled: bool = False
    replaced_by: Reference | None = None
    missing_groups: Sequence[str] = ()
    suggestion: str = ""
    has_people: bool = True


@dataclass(frozen=True, slots=True)
class Assessment:
    """What becomes of an alert, and why.

    `transition` is `planned`, or how it ends unsent, and `reason` is kept with the alert. `error` is what its publisher
    is told when it is not sent. `repeated`: the same alert was accepted under another id.
    """

    decision: Decision
    transition: Transition
    reason: str
    error: InputError | None = None
    repeated: bool = False


def read_content(alert: Alert, settings: Settings, *, now: datetime) -> Content:
    """What an alert says of itself at `now`; raises nothing: what is wrong with it stands in `faults`.

    Lane and texts are those of the infos that are in force at `now`; of all infos, if none is.
    """
    groups: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = ()
    faults: list[InputError] = []
    try:
        groups = groups_of(alert)
    except TargetError as error:
        faults.append(error)
    ends = ends_of(alert, default_seconds=settings.default_expiry_seconds)
    places = in_force(ends, now) or tuple(range(len(alert.info)))
    ceiling = now + timedelta(seconds=settings.longest_expiry_seconds)
    try:
        variants = render(
            alert,
            highest_segments=settings.highest_segments,
            places=places,
            ends=[min(end, ceiling) for end in ends],
        )
    except RenderingError as error:
        faults.append(error)
    ends_at = expires_at(
        alert,
        default_seconds=settings.default_expiry_seconds,
        ceiling_seconds=settings.longest_expiry_seconds,
        now=now,
    )
    return Content(lane_of(alert.info[place] for place in places), groups, variants, ends_at, tuple(faults))


def read_unchecked(alert: Alert, settings: Settings, *, now: datetime) -> Content:
    """What an alert says of itself, and the rules of CAP that it breaks: nobody has looked at it before.

    An event on Kafka need not come from the API. May take a second for large polygons.
    """
    content = read_content(alert, settings, now=now)
    try:
        require_valid(alert)
    except CapError as error:
        return replace(content, broken=error)
    return content


def assess(
    alert: Alert,
    content: Content,
    *,
    now: datetime,
    routes: Sequence[Route] | None = None,
    facts: Facts | None = None,
    rehearsal: bool = False,
) -> Assessment:
    """What becomes of an alert at the instant `now`; `content` is its own.

    Rules that need routes or facts are left out when these are None. `rehearsal`: an Actual alert may go by
    simulated routes, where it reaches no phone.
    """
    decision = Decision(ACTIONS[alert.status, alert.msg_type]) if facts is None else decide(alert, facts.known)
    refusals = _refusals(alert, content, decision, now=now, routes=routes, facts=facts or Facts(), rehearsal=rehearsal)
    return next(refusals, None) or Assessment(decision, Transition.PLANNED, decision.reason)


def _refusals(
    alert: Alert,
    content: Content,
    decision: Decision,
    *,
    now: datetime,
    routes: Sequence[Route] | None,
    facts: Facts,
    rehearsal: bool,
) -> Iterator[Assessment]:
    # Every reason not to send; the first one counts.
    def refused(reason: str, error: InputError | None = None, by: Transition = Transition.REFUSED) -> Assessment:
        return Assessment(decision, by, reason, error or InputError(reason))

    if facts.namesake is not None:
        reason = f"is alert {facts.namesake} under another id; nothing is sent twice"
        yield Assessment(decision, Transition.REFUSED, reason, InputError(reason), repeated=True)
    if facts.cancelled:
        yield refused("was cancelled before it came", by=Transition.CANCELLED)
    if facts.replaced_by is not None:
        yield refused(f"by {facts.replaced_by}, which came before it", by=Transition.SUPERSEDED)
    if decision.action is Action.REFUSE:
        yield refused(decision.reason, _not_for_recipients(alert))
    if decision.action is Action.STOP:
        return  # it is sent to nobody, so nothing that follows concerns it
    for fault in (content.broken, *content.faults):
        if fault is not None:
            yield refused(str(fault), fault)
    if routes is not None and not any(may_carry(alert.status, route.live) for route in routes):
        yield refused(
            f"status {alert.status}: no route may carry it; add a test route (`live = false`), or publish it as Actual"
        )
    if (
        routes is not None
        and alert.status is Status.ACTUAL
        and (why_not := _why_simulated(routes, rehearsal=rehearsal))
    ):
        yield refused(f"status Actual: {why_not}")
    if facts.missing_groups:
        missing = ", ".join(facts.missing_groups)
        yield refused(f"addresses: no group {missing} is known; {facts.suggestion or 'import it, or correct the name'}")
    if decision.action is Action.SUPERSEDE and not facts.has_people:
        # What it would replace may still be for somebody.
        nobody = _nobody_in(content.groups, only_participants=participants_only(alert.status))
        yield refused(f"addresses: {nobody}, so it replaces nothing")
    if content.expires_at <= now:
        reason = f"expired at {content.expires_at.astimezone(UTC).isoformat()}, before it came"
        yield refused(reason, _expired(content.expires_at), by=Transition.EXPIRED)


def why_alarm(alert: Alert, content: Content, found: Assessment, *, received_at: datetime) -> str | None:
    """What the alarm says about a message in force that does nothing; None without an alarm.

    No alarm for what is not for recipients (status System or Draft, Ack, Error), for what was sent under another id,
    and for what somebody has stopped or replaced.
    """
    if found.transition is Transition.PLANNED and found.decision.left:
        return f"this Cancel has not stopped everything: {found.reason}"
    if found.transition not in {Transition.REFUSED, Transition.EXPIRED} or found.repeated:
        return None
    action = ACTIONS[alert.status, alert.msg_type]
    if action is Action.REFUSE:
        return None
    if action is Action.STOP:
        return f"this Cancel stops nothing: {found.reason.removeprefix(STOPPED_NOTHING)}"
    if content.expires_at <= received_at:
        return None
    return f"nobody is sent this {alert.status} {alert.msg_type}: {found.reason}. {NEXT_STEP}"


NEXT_STEP = "If the danger is still there, correct the alert and publish it again, with an identifier of its own"


def _why_simulated(routes: Sequence[Route], *, rehearsal: bool) -> str:
    """Why an Actual alert may not go by these routes; empty if it may."""
    names = ", ".join(simulated_names(routes, Status.ACTUAL))
    match simulation_of(routes, Status.ACTUAL):
        case Simulation.NONE:
            return ""
        case Simulation.ALL if rehearsal:
            return ""
        case Simulation.ALL:
            step = (
                "write the account of a carrier into the routes file, publish it with status Test, or set "
                "BROADCAST_REHEARSAL=true for the planner: it is then sent, and marked SIMULATED"
            )
        case Simulation.PARTLY:
            step = "give simulated routes `live = false` and the others `live = true` in the routes file"
    return f"no phone is behind the simulated routes that would carry it ({names}); {step}"


def explain_empty(
    groups: Sequence[str], missing: Sequence[str], *, participants_only: bool, members: int = 0, suggestion: str = ""
) -> str:
    """Why nobody is in an audience that was resolved; `missing` are those of its groups that are gone.

    `members` are all people in the groups; only some of them may be participants. `suggestion` says which other groups
    may be meant.
    """
    if missing:
        return (
            f"addresses: no group {', '.join(missing)} is known any more; {suggestion or 'import it, and publish anew'}"
        )
    nobody = _nobody_in(groups, only_participants=participants_only and members > 0)
    if participants_only and members:
        return (
            f"addresses: {nobody}, which has {counted(members, 'member')}; set participant = yes for who takes part in "
            "the CSV, and import it (docs/accounts.md)"
        )
    return f"addresses: {nobody}; {suggestion or 'name a group that has members'}"


def _nobody_in(groups: Sequence[str], *, only_participants: bool) -> str:
    return f"no {'marked participant' if only_participants else 'recipient'} is in {', '.join(groups)}"


def _not_for_recipients(alert: Alert) -> InputError:
    message = f"{alert.status} {alert.msg_type} is not for recipients: nothing would be sent"
    return InputError(f"status: {message} [6.2]", (("status", "6.2", message),))


def _expired(ended: datetime) -> InputError:
    message = f"the alert expired at {ended.isoformat()}: nothing would be sent"
    return InputError(f"expires: {message} [R8]", (("info.expires", "R8", message),))
