"""Watching one alert: a line for a log, a table for a terminal, an object a line for a program."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from broadcast.alarms import ACCOUNT_KINDS, ACCOUNT_LATE, ACCOUNT_THROTTLED
from broadcast.api.client import Reader
from broadcast.cli.terminal.alert_end import describe_end, find_reason, missed_of
from broadcast.cli.terminal.display import Console, Table
from broadcast.cli.terminal.open_alarms import find_concerning, find_naming, tell_alarm
from broadcast.cli.terminal.outage import Outage, RepeatedReads
from broadcast.cli.terminal.queued_routes import QueuedRoutes, Routes
from broadcast.clock import utc_now
from broadcast.errors import BroadcastError
from broadcast.lifecycle import FINAL_STATES, AlertState
from broadcast.routing.simulation import Simulation, note_of
from broadcast.text.counts import MAYBE_SENT
from broadcast.text.printable import printable

POLL_SECONDS = 0.25
ALARM_POLLS = 8
"""Every so many polls the alarms are asked for too, while recipients are queued."""
ROUTES_POLLS = 40
"""Every so many polls the routes of the queued recipients are asked for in any case."""
SILENT_STEP_SECONDS = 5
"""Without a change for so long, while recipients are queued, the watcher is told."""
LINE_SECONDS = 10.0
"""In a pipe, values that change are written again after so long."""
BAR_WIDTH = 40
MOST_REASONS = 3
"""Reasons to wait for a new try that are named, those of most recipients."""
KINDS_OF = {"unusable_accounts": ACCOUNT_KINDS, "slow_accounts": (ACCOUNT_THROTTLED, ACCOUNT_LATE)}
"""The kinds of alarms that say so, by the name in the JSON."""
NO_ACCOUNTS: dict[str, Any] = {"queued_routes": []} | {key: [] for key in KINDS_OF}
STYLES = {"delivered": "green", "submitted": "cyan", "queued": "dim", "unknown": "yellow"}


def watch_alert(api: Reader, alert_id: str, *, as_json: bool, beside: bool = False) -> dict[str, Any]:
    """Show an alert until it has ended and nobody is queued or waits for a receipt that may still come.

    A terminal gets a table, a pipe one line for each change, with the time of day; on stderr with `beside`, where
    stdout has the id of what was published before. An API that does not answer is asked again until it does; only
    one that could never be reached is an UnreachableError. Returns the last progress.
    """
    console = Console(stderr=beside)
    if not as_json and console.is_terminal:
        last = _show(api, alert_id, console, answered=beside)
    else:
        last = _write(api, alert_id, as_json=as_json, beside=beside)
    _tell_end(api, last, err=beside or as_json)
    return last


def _show(api: Reader, alert_id: str, console: Console, *, answered: bool) -> dict[str, Any]:
    screen = _Screen(RepeatedReads(api, answered=answered))
    with Live(screen, console=console, refresh_per_second=4, transient=False):
        for progress in _follow(screen.reads, alert_id):
            screen.progress = progress
    return screen.progress


def _write(api: Reader, alert_id: str, *, as_json: bool, beside: bool) -> dict[str, Any]:
    def tell(outage: Outage) -> None:
        if as_json:
            click.echo(json.dumps(outage.facts(alert_id)))
        else:
            line = f"{utc_now():%H:%M:%S} UTC alert {alert_id}: {printable(outage.describe())}"
            click.echo(line, err=beside)

    last: dict[str, Any] = {}
    lines = Lines()
    reads = RepeatedReads(api, tell, answered=beside)
    outages = 0
    for progress in _follow(reads, alert_id):
        answered_again = reads.outages != outages
        outages = reads.outages
        if as_json and (answered_again or progress != last):
            click.echo(json.dumps(progress))
        elif not as_json and (lines.are_due(progress, time.monotonic()) or answered_again or is_over(progress)):
            click.echo(write_line(progress, utc_now()), err=beside)
        last = progress
    return last


class _Screen:
    """The table of the last progress, and under it who does not answer."""

    def __init__(self, reads: RepeatedReads) -> None:
        self.reads = reads
        self.progress: dict[str, Any] = {}

    def __rich__(self) -> Group:
        table = [_table(self.progress)] if self.progress else []
        outage = self.reads.outage(time.monotonic())
        return Group(*table, *([] if outage is None else [Text(printable(outage.describe()), "red")]))


def _tell_end(api: Reader, progress: dict[str, Any], *, err: bool) -> None:
    if not missed_of(progress["counts"]):
        return
    try:
        alarms = find_naming(api.get("/v1/alarms")["alarms"], progress["alert_id"])
    except BroadcastError:
        alarms = []  # the counts are known, and are said all the same
    click.echo(printable(describe_end(progress, find_reason(api, progress), alarms)), err=err)


def write_line(progress: dict[str, Any], now: datetime) -> str:
    """The progress in one line."""
    states = [state for state, number in progress["counts"].items() if number]
    counts = ", ".join(f"{state} {progress['counts'][state]:,}" for state in states)
    state = f"{progress['state']}{stop_of(progress)}"
    state += f", {reached_of(progress)}" if counts else ""
    parts = [f"{state}{': ' if counts else ''}{counts}", progress["reason"] or ""]
    parts.append(note_of(progress.get("simulated")))
    parts += map(tell_alarm, progress.get("alarms", ()))
    remarks = {state: ", ".join(remarks_of(progress, state)) for state in states}
    parts += [f"{state}: {remark}" for state, remark in remarks.items() if remark]
    return f"{now:%H:%M:%S} UTC alert {progress['alert_id']}: {'; '.join(filter(None, parts))}"


def reached_of(progress: dict[str, Any]) -> str:
    """How many recipients have a receipt of a phone that says delivered, in words."""
    delivered = 0 if progress.get("simulated") == Simulation.ALL else progress["counts"].get("delivered", 0)
    return f"{delivered:,} of {progress['audience']:,} reached"


def state_of(alert: dict[str, Any]) -> str:
    """The state of an alert in words, which say so where no phone is reached."""
    mark = {"all": ", SIMULATED", "partly": ", PARTLY SIMULATED"}.get(alert.get("simulated") or "", "")
    return f"{alert['state']}{stop_of(alert)}{mark}"


def stop_of(alert: dict[str, Any]) -> str:
    """What to add to the state of an alert that was stopped when it was completed already."""
    return ", stopped" if alert["state"] == AlertState.COMPLETED and alert.get("stopped_at") else ""


def remarks_of(progress: dict[str, Any], state: str) -> Iterator[str]:
    """What a person should know of the recipients in a state, in words."""
    if state == "failed":
        for reason, number in progress["failed_reasons"].items():
            yield f"{number:,}: {reason}"
    elif state == "submitted" and progress.get("receipt_silent_seconds"):
        yield f"no receipt for {progress['receipt_silent_seconds']} s; it waits for receipts"
    elif state == "unknown" and progress.get("unrecorded_submits"):
        yield f"{progress['unrecorded_submits']:,} {MAYBE_SENT}"
    elif state == "queued":
        if progress["silent_seconds"]:
            yield f"no answer for {progress['silent_seconds']} s"
        for route in progress["queued_routes"] or ():
            yield f"by route {route['route']} ({', '.join(route['prefixes'])})"
            yield from _waiting_of(route)
        for alarm in (*progress["unusable_accounts"], *progress["slow_accounts"]):
            yield f"account {alarm['subject']}: {alarm['detail']}"


def _waiting_of(route: dict[str, Any]) -> Iterator[str]:
    """Who waits for a new try, since when an SMSC refused them for now."""
    least = "" if route.get("complete", True) else "at least "
    for each in route.get("waiting", ())[:MOST_REASONS]:
        number = each["recipients"]
        next_try_at = datetime.fromisoformat(each["next_try_at"]).astimezone(UTC)
        verb = "waits" if number == 1 else "wait"
        yield f"{least}{number:,} {verb} for a new try, not before {next_try_at:%H:%M:%S} UTC: {each['reason']}"


class Lines:
    """Which progress is worth a line: other states at once, other remarks and values after `LINE_SECONDS`.

    States that come back within `LINE_SECONDS` wait too.
    """

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}
        self._written: dict[tuple[str, ...], float] = {}
        self._at = float("-inf")

    def are_due(self, progress: dict[str, Any], now: float) -> bool:
        """Whether to write a line at `now`, monotonic seconds; each is taken as written."""
        states = [state for state, number in progress["counts"].items() if number]
        alarms = [f"alarm {alarm['id']}" for alarm in progress.get("alarms", ())]
        meaning = (progress["state"], progress["reason"] or "", *states, *alarms)
        recent = now - self._at < LINE_SECONDS
        if progress == self._last or (recent and now - self._written.get(meaning, float("-inf")) < LINE_SECONDS):
            return False
        self._last, self._at = progress, now
        self._written = {each: at for each, at in self._written.items() if now - at < LINE_SECONDS} | {meaning: now}
        return True


class Silence:
    """Since when nothing has changed while recipients are in a state; told in steps, not each second."""

    def __init__(self, state: str = "queued") -> None:
        self._state = state
        self._counts: dict[str, int] = {}
        self._since = 0.0

    def look(self, counts: dict[str, int], now: float) -> int:
        """Seconds without any change at `now`, rounded down to `SILENT_STEP_SECONDS`; 0 while nobody is in it."""
        if counts != self._counts or not counts.get(self._state):
            self._counts, self._since = dict(counts), now
        return int((now - self._since) // SILENT_STEP_SECONDS) * SILENT_STEP_SECONDS


def is_over(progress: dict[str, Any]) -> bool:
    """Whether nothing will change any more: ended, nobody queued, no receipt still to come."""
    counts = progress["counts"]
    waiting = counts.get("queued", 0) + counts.get("submitted", 0) - progress["receipt_overdue"]
    return progress["state"] in FINAL_STATES and (progress["state"] == AlertState.REFUSED or waiting <= 0)


def _follow(api: Reader, alert_id: str) -> Iterator[dict[str, Any]]:
    accounts = NO_ACCOUNTS
    routes = QueuedRoutes(lambda: read_routes(api, alert_id))
    reasons: dict[str, int] = {}
    failed = 0
    silence, receipts = Silence(), Silence("submitted")
    alarms: list[dict[str, Any]] = []
    for poll in count():
        progress = _progress(api, alert_id)
        counts = progress["counts"]
        queued = counts.get("queued", 0)
        if not queued:
            accounts = NO_ACCOUNTS
        if poll % ALARM_POLLS == 0 and not is_over(progress):
            carriers = routes.look(queued, due=poll % ROUTES_POLLS == 0)
            opened = api.get("/v1/alarms")["alarms"]
            accounts = find_accounts(opened, carriers) if queued else NO_ACCOUNTS
            alarms = find_concerning(opened, alert_id, counts)
        if counts.get("failed", 0) != failed and (poll % ALARM_POLLS == 0 or is_over(progress)):
            failed = counts["failed"]
            reasons = api.get(f"/v1/alerts/{alert_id}/summary", reasons="true")["failed_reasons"]
        now = time.monotonic()
        silent = {"silent_seconds": silence.look(counts, now), "receipt_silent_seconds": receipts.look(counts, now)}
        named = {"queued_routes": routes.name(queued), "failed_reasons": reasons, "alarms": alarms}
        yield progress | accounts | silent | named
        if is_over(progress):
            return
        time.sleep(POLL_SECONDS)


def read_routes(api: Reader, alert_id: str) -> Routes:
    """The routes that carry the queued recipients of an alert, with their prefixes and accounts."""
    found = api.get(f"/v1/alerts/{alert_id}/queued-routes")
    return None if found["routes"] is None else [route | {"complete": found["complete"]} for route in found["routes"]]


def read_accounts(api: Reader, routes: Routes) -> dict[str, Any]:
    """Which accounts of these routes cannot be used or are slow, with the reasons: open alarms of senders."""
    return find_accounts(api.get("/v1/alarms")["alarms"], routes)


def find_accounts(alarms: list[dict[str, Any]], routes: Routes) -> dict[str, Any]:
    """The alarms about accounts of these routes, by what they say of the account; and the routes."""
    carriers = {account for route in routes or () for account in route["accounts"]}
    found = [alarm for alarm in alarms if routes is None or alarm["subject"].partition(",")[0] in carriers]
    names = ("kind", "subject", "detail")
    return {"queued_routes": routes} | {
        key: [{name: alarm[name] for name in names} for alarm in found if alarm["kind"] in kinds]
        for key, kinds in KINDS_OF.items()
    }


def _progress(api: Reader, alert_id: str) -> dict[str, Any]:
    alert = api.get(f"/v1/alerts/{alert_id}")
    progress = {
        name: alert.get(name) for name in ("alert_id", "state", "stopped_at", "reason", "audience", "simulated")
    }
    summary = api.get(f"/v1/alerts/{alert_id}/summary") if alert["audience"] is not None else {}
    return progress | {
        "counts": summary.get("counts", {}),
        "possible_duplicates": summary.get("possible_duplicates", 0),
        "unrecorded_submits": summary.get("unrecorded_submits", 0),
        "receipt_overdue": summary.get("receipt_overdue", 0),
        "gap": summary.get("gap", 0),
    }


def _table(progress: dict[str, Any]) -> Table:
    audience = progress["audience"]
    table = Table(show_header=False, box=None, title_justify="left")
    table.title = f"alert {progress['alert_id']}: {progress['state']}{stop_of(progress)}"
    if progress["reason"]:
        table.add_row("reason", progress["reason"], "")
    if note := note_of(progress.get("simulated")):
        table.add_row("note", note, "")
    for alarm in progress.get("alarms", ()):
        table.add_row("alarm", "", Text(printable(tell_alarm(alarm)), "red"))
    if audience is None:
        return table
    for state, number in progress["counts"].items():
        if number:
            share = number / audience if audience else 0.0
            bar = "█" * round(share * BAR_WIDTH)
            table.add_row(state, f"{number:,}", Text.assemble((bar, STYLES.get(state, "red")), f" {share:.1%}"))
            for remark in remarks_of(progress, state):
                table.add_row("", "", Text(printable(remark), "red"))
    table.add_row("audience", f"{audience:,}", reached_of(progress))
    twice = progress["possible_duplicates"] - progress.get("unrecorded_submits", 0)
    notes = {"possible duplicates": twice, "receipt overdue": progress["receipt_overdue"], "gap": progress["gap"]}
    for name, number in notes.items():
        if number > 0:
            table.add_row(name, f"{number:,}", "")
    return table
