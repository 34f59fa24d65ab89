"""`broadcast audit`: who was reached, when, by which route; and proof of it."""

import click

from broadcast.cli.audit.outcomes import deliveries, history_command, summary_command
from broadcast.cli.audit.proof import rebuild, verify_command
from broadcast.cli.audit.receipts import unmatched_command, unreadable_command


@click.group(name="audit")
def command() -> None:
    """Who was reached, when, by which route; and proof of it. No phone numbers unless asked for."""


for one in (
    summary_command,
    deliveries,
    history_command,
    verify_command,
    rebuild,
    unreadable_command,
    unmatched_command,
):
    command.add_command(one)
