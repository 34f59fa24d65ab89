"""`broadcast topics`: create and check the topics on Kafka."""

import asyncio
import json

import click

from broadcast.kafka.topics import BROKER_BUDGET_SECONDS, check_topics, create_topics, topics_of
from broadcast.routes_file import load_routes
from broadcast.settings import load_settings
from broadcast.text.counts import counted
from schemas.topics import Topic

as_json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, nothing else.")
timeout_option = click.option(
    "--timeout",
    "timeout_seconds",
    default=BROKER_BUDGET_SECONDS,
    show_default=True,
    help="Seconds to wait for a broker.",
)


@click.group()
def command() -> None:
    """Create and check the topics on Kafka."""


@command.command("create")
@timeout_option
@as_json_option
def create(timeout_seconds: float, as_json: bool) -> None:
    """Create what is missing; fails if an existing topic does not fit."""
    settings = load_settings()
    routes = load_routes(settings)
    created = asyncio.run(create_topics(settings, routes, timeout_seconds=timeout_seconds))
    if as_json:
        click.echo(json.dumps({"created": created, "topics": len(topics_of(settings, routes))}))
        return
    for name in created:
        click.echo(f"created {name}")
    click.echo(f"{counted(len(topics_of(settings, routes)), 'topic')}, {len(created)} of them new")


@command.command("check")
@timeout_option
@as_json_option
def check(timeout_seconds: float, as_json: bool) -> None:
    """Compare the broker's topics with the catalogue; exit code 1 if one does not fit."""
    settings = load_settings()
    routes = load_routes(settings)
    faults = asyncio.run(check_topics(settings, routes, timeout_seconds=timeout_seconds))
    if as_json:
        content = [
            {"topic": f.topic, "field": f.field, "wanted": f.wanted, "found": f.found, "step": f.step} for f in faults
        ]
        click.echo(json.dumps({"faults": content}))
    else:
        for fault in faults:
            click.echo(str(fault), err=True)
        click.echo(f"{counted(len(topics_of(settings, routes)), 'topic')}, {counted(len(faults), 'fault')}")
    if faults:
        raise SystemExit(1)


@command.command("list")
@as_json_option
def show(as_json: bool) -> None:
    """Print the catalogue; needs no broker."""
    settings = load_settings()
    topics = topics_of(settings, load_routes(settings))
    if as_json:
        click.echo(json.dumps([_content(topic) for topic in topics]))
        return
    for topic in topics:
        kept = "for ever" if topic.retention_seconds < 0 else f"{topic.retention_seconds // 3600} h"
        policy = "compacted" if topic.compacted else kept
        click.echo(f"{topic.name:<44} {topic.partitions:>3} partitions  {policy:<10} {topic.value.__name__}")


def _content(topic: Topic) -> dict[str, object]:
    return {
        "name": topic.name,
        "key": topic.key,
        "value": topic.value.__name__,
        "partitions": topic.partitions,
        "retention_seconds": topic.retention_seconds,
        "compacted": topic.compacted,
    }
