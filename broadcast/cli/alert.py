"""`broadcast alert`: publish, list, show, watch and cancel alerts, over the API."""

import json
import sys
import time
from typing import Any
from uuid import UUID

import click
from rich.table import Column

from broadcast.api.client import Client, open_client
from broadcast.cli.terminal.alert_decision import (
    UNDECIDED_EXIT_CODE,
    await_decision,
    describe_decision,
    exit_code_of,
)
from broadcast.cli.terminal.alert_end import exit_code_of_end
from broadcast.cli.terminal.alert_file import (
    explain_half_name,
    media_type_of,
    name_of,
    read_alert_file,
    reissue_content,
)
from broadcast.cli.terminal.display import Table, print_table, write_time
from broadcast.cli.terminal.output import is_closed, print_result, require_output
from broadcast.cli.terminal.publication import NOT_CONFIRMED, describe_unconfirmed, repeat_of, submit
from broadcast.cli.terminal.watching import state_of, watch_alert
from broadcast.errors import InputError, UnconfirmedError
from broadcast.routing.simulation import note_of
from broadcast.settings import load_settings
from broadcast.text.printable import printable

PAGE = 500
WAIT_SECONDS = 30.0


@click.group(name="alert")
def command() -> None:
    """Publish, list, show, watch and cancel alerts."""


@command.command()
@click.argument("file", type=click.Path(allow_dash=True, path_type=str))
@click.option(
    "--now",
    "reissued",
    is_flag=True,
    help="Publish it as a new message: `sent` is now, the other times move by the same span, and `identifier` gets a "
    "new ending, so each call is another alert.",
)
@click.option("--identifier", help="With --now and --sent: this identifier instead of a new one, to repeat an alert.")
@click.option("--sent", help="With --now and --identifier: this instant instead of now, as CAP writes it.")
@click.option("--print", "print_only", is_flag=True, help="Write the alert to stdout instead of publishing it.")
@click.option("--idempotency-key", help="Publishing with the same key again publishes nothing.")
@click.option("--watch", is_flag=True, help="Show progress until every recipient has a final state.")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0, 3600),
    default=WAIT_SECONDS,
    show_default=True,
    help="Longest wait for the planner's decision, seconds.",
)
@click.option(
    "--no-wait", "wait_seconds", flag_value=0.0, help="Do not wait for the decision; exit code 0 says nothing of it."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout (with --watch: one a line).")
def publish(
    *,
    file: str,
    reissued: bool,
    identifier: str | None,
    sent: str | None,
    print_only: bool,
    idempotency_key: str | None,
    watch: bool,
    wait_seconds: float,
    as_json: bool,
) -> None:
    """Publish the alert of FILE (- is stdin): CAP 1.2 XML or JSON, by what it begins with.

    It waits until it is known whether anybody gets the alert. Exit code 0: it is sent, or nothing more is sent of what
    a Cancel names; 3: nobody gets it, and why, or a Cancel has left an Update on its way; 4: nothing was decided or not
    even confirmed in time, do not publish it anew; 5 (with --watch): not everybody was reached; 6: it is published, and
    stdout could not be written.
    """
    if (identifier or sent) and not reissued:
        raise click.UsageError("--identifier and --sent belong to --now; add it")
    if bool(identifier) is not bool(sent):
        raise click.UsageError(explain_half_name("--identifier" if identifier else "--sent"))
    content = read_alert_file(file)
    media_type = media_type_of(content, file)
    if reissued:
        content, changes = reissue_content(content, media_type, identifier, sent)
        for line in changes:
            click.echo(f"  {printable(line)}", err=True)
    if print_only:
        _print(content)
        return
    headers = {"Content-Type": media_type}
    if idempotency_key:
        headers["Idempotency-Key"] = idempotency_key
    require_output()
    with open_client(load_settings()) as api:
        try:
            accepted = submit(api, content, headers, wait_seconds, _tell)
        except UnconfirmedError as error:
            options = ["--idempotency-key", idempotency_key] if idempotency_key else []
            _tell_unconfirmed(content, media_type, [*options, file], error, reissued=reissued, as_json=as_json)
            sys.exit(UNDECIDED_EXIT_CODE)
        alert_id = accepted["alert_id"]
        done = f"the alert is published as {alert_id}"
        if not as_json:
            print_result(alert_id, done)
            for warning in accepted["warnings"]:
                click.echo(f"  {warning['field']}: {warning['message']} [{warning['rule']}]", err=True)
            if accepted.get("repeated"):
                click.echo("  it was published before: nothing is sent a second time", err=True)
        if watch and as_json:
            print_result(json.dumps(accepted), done)
        if not wait_seconds:
            decided, code = accepted, 0
        else:
            decided = await_decision(api, alert_id, wait_seconds, _tell)
            code = exit_code_of(decided)
        if watch and not code:
            sys.exit(exit_code_of_end(watch_alert(api, alert_id, as_json=as_json, beside=True)))
        if as_json:
            facts = {name: decided.get(name) for name in ("state", "reason", "audience", "simulated")}
            print_result(json.dumps(accepted | facts), done)
        else:
            for line in describe_decision(decided, waited=bool(wait_seconds)):
                _tell(line)
    sys.exit(code)


@command.command(name="list")
@click.option("--state", "states", multiple=True, help="Only alerts in this state; may be repeated.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
def list_command(states: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Alerts, the newest first."""
    with open_client(load_settings()) as api:
        alerts = _page_through(api, states, limit)
    if as_json:
        for alert in alerts:
            click.echo(json.dumps(alert))
        return
    table = Table(
        Column("alert", no_wrap=True, min_width=36),
        "accepted",
        "state",
        "status",
        "type",
        "lane",
        "audience",
        "reached",
        "identifier",
        box=None,
    )
    for alert in alerts:
        numbers = ["-" if alert[name] is None else f"{alert[name]:,}" for name in ("audience", "reached")]
        row = (state_of(alert), alert["status"], alert["msg_type"], alert["lane"], *numbers, alert["identifier"])
        table.add_row(alert["alert_id"], write_time(alert["accepted_at"]), *row)
    print_table(table)


@command.command()
@click.argument("alert_id", type=click.UUID)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def show(alert_id: UUID, as_json: bool) -> None:
    """One alert, and what happened to it."""
    with open_client(load_settings()) as api:
        alert = api.get(f"/v1/alerts/{alert_id}")
    if as_json:
        click.echo(json.dumps(alert))
        return
    table = Table(show_header=False, box=None)
    for name, value in alert.items():
        if name not in ("links", "events") and value not in (None, []):
            table.add_row(name.replace("_", " "), ", ".join(value) if isinstance(value, list) else str(value))
    if note := note_of(alert.get("simulated")):
        table.add_row("note", note)
    for event in alert["events"]:
        reason = f": {event['reason']}" if event["reason"] else ""
        table.add_row(write_time(event["at"], "milliseconds"), f"{event['event']} by {event['actor']}{reason}")
    print_table(table)


@command.command()
@click.argument("alert_id", type=click.UUID)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout, at each change.")
def watch(alert_id: UUID, as_json: bool) -> None:
    """Show the progress of an alert until every recipient has a final state. Ctrl-C ends the watching only.

    Exit code 0: everybody is delivered; 3: nobody was sent the alert; 5: not everybody was reached.
    """
    with open_client(load_settings()) as api:
        sys.exit(exit_code_of_end(watch_alert(api, str(alert_id), as_json=as_json)))


@command.command()
@click.argument("alert_id", type=click.UUID)
@click.option("--reason", default="", help="Why; it stands in the audit.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def cancel(alert_id: UUID, reason: str, as_json: bool) -> None:
    """Stop an alert: nothing more of it is submitted, and nothing undoes that."""
    require_output()
    began = time.perf_counter()
    with open_client(load_settings()) as api:
        answer = api.post(f"/v1/alerts/{alert_id}/cancel", json={"reason": reason})
    milliseconds = (time.perf_counter() - began) * 1000
    done = f"alert {alert_id} is stopped: {answer['note']} ({milliseconds:.0f} ms)"
    print_result(json.dumps(answer) if as_json else done, f"alert {alert_id} is stopped")


def _tell(line: str) -> None:
    click.echo(printable(line), err=True)


def _tell_unconfirmed(
    content: bytes, media_type: str, words: list[str], error: Exception, *, reissued: bool, as_json: bool
) -> None:
    named = name_of(content, media_type)
    if named is not None:
        facts = named._asdict() | {"state": NOT_CONFIRMED, "repeat": repeat_of(named, words, reissued=reissued)}
        print_result(json.dumps(facts) if as_json else named.alert_id, f"alert {named.alert_id} may be published")
    for line in describe_unconfirmed(named, words, error, reissued=reissued):
        _tell(line)


def _print(content: bytes) -> None:
    if is_closed():
        raise InputError("--print writes to stdout, which is closed; open it, or leave --print out")
    # With a flush, so that a pipe that is closed is told as such.
    click.echo(content, nl=False)


def _page_through(api: Client, states: tuple[str, ...], limit: int) -> list[dict[str, Any]]:
    alerts: list[dict[str, Any]] = []
    cursor = None
    while len(alerts) < limit:
        page = api.get("/v1/alerts", state=states or None, limit=min(PAGE, limit - len(alerts)), cursor=cursor)
        alerts += page["alerts"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return alerts
