"""`broadcast database`: bring the database to the newest schema."""

import asyncio
import json

import click

from broadcast.database import migrate
from broadcast.database.connection import NO_DATABASE, no_database
from broadcast.settings import load_settings


@click.group(name="database")
def command() -> None:
    """Bring the database to the newest schema."""


@command.command(name="migrate")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def migrate_command(as_json: bool) -> None:
    """Apply every missing migration, in one transaction; harmless when there is none."""
    settings = load_settings()
    try:
        asyncio.run(migrate(settings.database_url.get_secret_value()))
    except NO_DATABASE as error:
        raise no_database(error, settings) from error
    click.echo(json.dumps({"migrated": True}) if as_json else "the database has the newest schema")
