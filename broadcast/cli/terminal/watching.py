"""Watching one alert: a line for a log, a table for a terminal, an object a line for a program."""

import json
import time
from itertools import count
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from broadcast.alarms import ACCOUNT_KINDS
from broadcast.api.client import Client
from broadcast.lifecycle import FINAL_STATES, AlertState

POLL_SECONDS = 0.25
ALARM_POLLS = 8
"""Every so many polls the alarms are asked for too, while recipients are queued."""
BAR_WIDTH = 40
STYLES = {"delivered": "green", "submitted": "cyan", "queued": "dim", "unknown": "yellow"}


def watch_alert(api: Client, alert_id: str, *, as_json: bool) -> AlertState:
    """Show an alert until it has ended and nobody is queued or waits for a receipt that may still come.

    Returns its last state.
    """
    last: dict[str, Any] = {}
    if as_json:
        for progress in _follow(api, alert_id):
            if progress != last:
                click.echo(json.dumps(progress))
                last = progress
        return AlertState(last["state"])
    console = Console(stderr=True)
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        for progress in _follow(api, alert_id):
            live.update(_table(progress))
            last = progress
    return AlertState(last["state"])


def is_over(progress: dict[str, Any]) -> bool:
    """Whether nothing will change any more: ended, nobody queued, no receipt still to come."""
    counts = progress["counts"]
    waiting = counts.get("queued", 0) + counts.get("submitted", 0) - progress["receipt_overdue"]
    return progress["state"] in FINAL_STATES and (progress["state"] == AlertState.REFUSED or waiting <= 0)


def _follow(api: Client, alert_id: str) -> Any:
    unusable: list[dict[str, str]] = []
    for poll in count():
        progress = _progress(api, alert_id)
        if not progress["counts"].get("queued"):
            unusable = []
        elif poll % ALARM_POLLS == 0:
            unusable = _unusable_accounts(api)
        yield progress | {"unusable_accounts": unusable}
        if is_over(progress):
            return
        time.sleep(POLL_SECONDS)


def _unusable_accounts(api: Client) -> list[dict[str, str]]:
    """Which accounts cannot be used, and why: open alarms of senders."""
    alarms = api.get("/v1/alarms")["alarms"]
    return [
        {name: alarm[name] for name in ("kind", "subject", "detail")}
        for alarm in alarms
        if alarm["kind"] in ACCOUNT_KINDS
    ]


def _progress(api: Client, alert_id: str) -> dict[str, Any]:
    alert = api.get(f"/v1/alerts/{alert_id}")
    progress = {"alert_id": alert_id, "state": alert["state"], "reason": alert["reason"], "audience": alert["audience"]}
    summary = api.get(f"/v1/alerts/{alert_id}/summary") if alert["audience"] is not None else {}
    return progress | {
        "counts": summary.get("counts", {}),
        "possible_duplicates": summary.get("possible_duplicates", 0),
        "receipt_overdue": summary.get("receipt_overdue", 0),
        "gap": summary.get("gap", 0),
    }


def _table(progress: dict[str, Any]) -> Table:
    audience = progress["audience"]
    table = Table(show_header=False, box=None, title_justify="left")
    table.title = f"alert {progress['alert_id']}: {progress['state']}"
    if progress["reason"]:
        table.add_row("reason", progress["reason"], "")
    if audience is None:
        return table
    for state, number in progress["counts"].items():
        if number:
            share = number / audience if audience else 0.0
            bar = "█" * round(share * BAR_WIDTH)
            table.add_row(state, f"{number:,}", f"[{STYLES.get(state, 'red')}]{bar}[/] {share:.1%}")
        if number and state == "queued":
            for alarm in progress["unusable_accounts"]:
                table.add_row("", "", f"[red]{escape(alarm['subject'])}: {escape(alarm['detail'])}[/]")
    table.add_row("audience", f"{audience:,}", "")
    for name in ("possible_duplicates", "receipt_overdue", "gap"):
        if progress[name]:
            table.add_row(name.replace("_", " "), f"{progress[name]:,}", "")
    return table
