"""`broadcast test-send`: one test message to one number, by a test route."""

import json
import time
from typing import Any, NamedTuple

import click

from broadcast.api.client import Client, open_client
from broadcast.cli.terminal.outage import RepeatedReads
from broadcast.cli.terminal.output import print_result, require_output
from broadcast.cli.terminal.trial_attempts import (
    MEANINGS,
    NEXT_STEPS,
    SIMULATED_MEANING,
    describe_attempts,
    describe_stay,
    find_attempts,
)
from broadcast.cli.terminal.watching import NO_ACCOUNTS, read_accounts, read_routes
from broadcast.errors import InputError, UnavailableError
from broadcast.lifecycle import FINAL_STATES, AlertState
from broadcast.settings import load_settings
from broadcast.text.printable import printable

POLL_SECONDS = 0.25
NOTHING_SENT = FINAL_STATES - {AlertState.COMPLETED}
UNDECIDED = frozenset({AlertState.ACCEPTED, AlertState.EXPANDING})
"""States of an alert whose audience is not resolved."""
UNDECIDED_STEP = "it may still be sent: do not send another one; `broadcast alert show ALERT_ID` says whether it is"
WAIT_SECONDS = 30.0


@click.command(name="test-send")
@click.argument("number")
@click.option("--account", help="The only account that may take it; else it goes as all messages do.")
@click.option("--text", help="What to say; TEST is put in front.")
@click.option(
    "--wait", "wait_seconds", type=float, default=WAIT_SECONDS, show_default=True, help="Longest wait, seconds."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(number: str, account: str | None, text: str | None, wait_seconds: float, as_json: bool) -> None:
    """Send one test message to NUMBER, and wait for what becomes of it: by which account and bind it went.

    It goes the way of every alert, with CAP status Test, which only a test route carries. If the accounts of that
    route are a simulator's, no phone is reached; if they are a carrier's, the phone gets the text. The accounts share
    it as they share all messages; with --account one of them takes it, once: what it refuses or does not answer goes
    by no other. An account that is stopped takes it as its probe.
    Exit code 1 when the message was not delivered in time.
    """
    require_output()
    with open_client(load_settings()) as api:
        sent = api.post("/v1/test-messages", json=_body(number, account, text))
        if not as_json:
            click.echo(
                f"alert {sent['alert_id']} to recipient {sent['recipient_id']} by route {sent['route']}"
                + (" (simulated)" if sent["simulated"] else "")
                + (f", account {account} only" if account else ""),
                err=True,
            )
        end = _await_end(api, sent["alert_id"], wait_seconds)
        state, reason = end.state, end.reason
        attempts, accounts = _read_details(api, sent, queued=state == "queued")
    next_step = UNDECIDED_STEP if state in UNDECIDED else NEXT_STEPS.get(state, "")
    if state == "queued":
        next_step = f"{describe_stay(end.expires_at)}; {next_step}"
    meaning = reason or MEANINGS.get(state, state)
    if sent["simulated"] and state == "delivered":
        meaning = SIMULATED_MEANING
    if as_json:
        found = {"state": state, "meaning": meaning, "attempts": attempts, "next_step": next_step}
        print_result(json.dumps(sent | accounts | found), f"the test message is sent as alert {sent['alert_id']}")
    else:
        for line in describe_attempts(attempts):
            click.echo(printable(line), err=True)
        for alarm in (*accounts["unusable_accounts"], *accounts["slow_accounts"]):
            click.echo(printable(f"account {alarm['subject']}: {alarm['detail']}"), err=True)
        print_result(state, f"the test message is sent as alert {sent['alert_id']}")
        click.echo(printable(meaning), err=True)
        if next_step:
            click.echo(next_step, err=True)
    if state != "delivered":
        raise SystemExit(1)


def _body(number: str, account: str | None, text: str | None) -> dict[str, str]:
    given = {"number": number, "account": account, "text": text}
    return {name: value for name, value in given.items() if value}


class _End(NamedTuple):
    """The state of the recipient, or of the alert where that says why nothing is sent, with its reason."""

    state: str
    reason: str
    expires_at: str | None


def _read_details(api: Client, sent: dict[str, Any], *, queued: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The attempts, and the accounts that do not work; both empty where the API does not say."""
    try:
        history = api.get(f"/v1/alerts/{sent['alert_id']}/recipients/{sent['recipient_id']}/history")
        attempts = find_attempts(history["events"])
        return attempts, read_accounts(api, read_routes(api, sent["alert_id"])) if queued else NO_ACCOUNTS
    except (InputError, UnavailableError):
        # Nothing is known of the recipient before the audience is resolved, and the message is sent all the same.
        return [], NO_ACCOUNTS


def _await_end(api: Client, alert_id: str, wait_seconds: float) -> _End:
    deadline = time.monotonic() + wait_seconds
    reads = RepeatedReads(
        api, lambda outage: click.echo(printable(outage.describe()), err=True), deadline, answered=True
    )
    last = _End(AlertState.ACCEPTED.value, "", None)
    try:
        while True:
            alert = reads.get(f"/v1/alerts/{alert_id}")
            last = _End(alert["state"], alert["reason"] or "", alert.get("expires_at"))
            if last.state in NOTHING_SENT and not alert["audience"]:
                return last._replace(reason=last.reason or "no reason given")
            is_over = time.monotonic() >= deadline
            if alert["audience"]:
                counts = reads.get(f"/v1/alerts/{alert_id}/summary")["counts"]
                reached = [state for state, count in counts.items() if count and state not in ("queued", "submitted")]
                if reached:
                    return last._replace(state=str(reached[0]), reason="")
                if is_over:
                    return last._replace(state="submitted" if counts["submitted"] else "queued", reason="")
            elif is_over:
                return last._replace(reason=last.reason or "its audience is being resolved")
            time.sleep(POLL_SECONDS)
    except UnavailableError as error:
        # What it had before is said no longer: meanwhile it may have become anything.
        return _End(AlertState.ACCEPTED.value, f"what became of it is not known: {error}", last.expires_at)
