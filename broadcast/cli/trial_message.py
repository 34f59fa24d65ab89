"""`broadcast test-send`: one test message to one number, by a simulated route."""

import json
import time

import click

from broadcast.api.client import Client, open_client
from broadcast.settings import load_settings

POLL_SECONDS = 0.25
WAIT_SECONDS = 30.0


@click.command(name="test-send")
@click.argument("number")
@click.option("--text", help="What to say; TEST is put in front.")
@click.option(
    "--wait", "wait_seconds", type=float, default=WAIT_SECONDS, show_default=True, help="Longest wait, seconds."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(number: str, text: str | None, wait_seconds: float, as_json: bool) -> None:
    """Send one test message to NUMBER and wait for what becomes of it.

    It goes the way of every alert, with CAP status Test, which only a simulated route carries: no phone is reached by
    it. Exit code 1 when it was not delivered in time.
    """
    with open_client(load_settings()) as api:
        sent = api.post("/v1/test-messages", json={"number": number} | ({"text": text} if text else {}))
        if not as_json:
            click.echo(
                f"alert {sent['alert_id']} to recipient {sent['recipient_id']} by route {sent['route']}", err=True
            )
        state = _await_end(api, sent["alert_id"], wait_seconds)
    click.echo(json.dumps(sent | {"state": state}) if as_json else state)
    if state != "delivered":
        raise SystemExit(1)


def _await_end(api: Client, alert_id: str, wait_seconds: float) -> str:
    deadline = time.monotonic() + wait_seconds
    while True:
        alert = api.get(f"/v1/alerts/{alert_id}")
        if alert["state"] in ("refused", "cancelled", "superseded"):
            return f"{alert['state']}: {alert['reason'] or 'no reason given'}"
        if alert["audience"]:
            counts = api.get(f"/v1/alerts/{alert_id}/summary")["counts"]
            reached = [state for state, count in counts.items() if count and state not in ("queued", "submitted")]
            if reached:
                return str(reached[0])
        if time.monotonic() >= deadline:
            return "submitted" if alert["audience"] and counts["submitted"] else "queued"
        time.sleep(POLL_SECONDS)
