"""`broadcast alarms`: what the system found wrong, and that somebody has seen to it."""

import json
import os

import click

from broadcast.alarms import Alarm, clear_alarms, list_alarms, runbook_of
from broadcast.cli.audit.audit_connection import with_audit
from broadcast.cli.terminal.display import Table, print_table, write_time
from broadcast.cli.terminal.ids import ID
from broadcast.text.counts import counted


@click.group(name="alarms")
def command() -> None:
    """What the system found wrong: list, clear."""


@command.command(name="list")
@click.option("--all", "everything", is_flag=True, help="Cleared ones too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array on stdout.")
def list_command(everything: bool, as_json: bool) -> None:
    """Open alarms, oldest first, each with what to do. Exit code 0 whether or not there are any."""
    alarms = with_audit(lambda connection, _: list_alarms(connection, cleared=everything))
    if as_json:
        click.echo(json.dumps([_described(alarm) for alarm in alarms]))
        return
    if not alarms:
        click.echo("no alarms" if everything else "no open alarms")
        return
    table = Table("id", "raised", "kind", "subject", "what to do", "cleared", box=None)
    for alarm in alarms:
        cleared = f"{write_time(alarm.cleared_at)} {alarm.cleared_by}" if alarm.cleared_at else "-"
        table.add_row(
            *(str(alarm.id), write_time(alarm.raised_at), alarm.kind, alarm.subject),
            *(f"{alarm.detail.rstrip('.')}. See {runbook_of(alarm.kind)}", cleared),
        )
    print_table(table)


@command.command()
@click.argument("ids", metavar="ID...", type=ID, nargs=-1, required=True)
@click.option("--by", default=lambda: os.environ.get("SUDO_USER") or os.environ.get("USER") or str(os.getuid()))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def clear(ids: tuple[int, ...], by: str, as_json: bool) -> None:
    """Clear these alarms once they are seen to. What still holds is raised again."""
    with_audit(lambda connection, _: clear_alarms(connection, ids, by))
    if as_json:
        click.echo(json.dumps({"cleared": sorted(set(ids)), "by": by}))
        return
    click.echo(f"cleared {counted(len(set(ids)), 'alarm')}")


def _described(alarm: Alarm) -> dict[str, object]:
    instants = {name: at.isoformat() if at else None for name, at in alarm._asdict().items() if name.endswith("_at")}
    return alarm._asdict() | instants | {"runbook": runbook_of(alarm.kind)}
