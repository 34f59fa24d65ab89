"""`broadcast smsc`: the SMSC simulator as its own process."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from broadcast.process import run_until_signal
from broadcast.smsc.behaviour import Behaviour, BehaviourError, parse_share, parse_status
from broadcast.smsc.profile.reading import ProfileError, load_profile
from broadcast.smsc.server import SmscConfig, SmscServer

_SHARE = click.FloatRange(0, 1)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_COUNT = click.IntRange(min=0)
_EXAMPLES_SHOWN = 20
_MILLISECONDS = click.FloatRange(min=0)


@click.command(name="smsc", context_settings={"auto_envvar_prefix": "BROADCAST_SMSC"})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=2775, show_default=True, help="SMPP port; 0 takes a free one.")
@click.option("--stats-port", default=0, show_default=True, help="HTTP port of /stats and /behaviour; 0: a free one.")
@click.option("--seed", default=0, show_default=True, help="Decides, with the destination, what happens to a submit.")
@click.option("--first-number", type=click.IntRange(min=1), help="First message id; by default above all earlier ones.")
@click.option("--system-id", help="Accept binds of this system_id only.")
@click.option("--password", help="Accept binds with this password only.")
@click.option("--tls-certificate", type=_FILE, help="Speak TLS with this certificate chain (PEM).")
@click.option("--tls-key", type=_FILE, help="Its key, if it is in a file of its own.")
@click.option("--tls-client-ca", type=_FILE, help="Clients must show a certificate of this authority (PEM).")
@click.option("--profile", help="Behave as this profile says: a TOML file, or the name of a built-in one.")
@click.option("--delay-ms", type=_MILLISECONDS, default=0.0, help="From submit to response.")
@click.option("--receipts/--no-receipts", default=True, help="Send the delivery receipts that submits ask for.")
@click.option("--receipt-delay-ms", type=_MILLISECONDS, default=0.0, help="From response to receipt.")
@click.option("--error-share", "error_shares", multiple=True, metavar="STATUS=SHARE", help="As throttled=0.01.")
@click.option("--undelivered-share", type=_SHARE, default=0.0, help="Receipts that say UNDELIV.")
@click.option("--hang-share", type=_SHARE, default=0.0, help="Submits that are taken but never answered.")
@click.option("--receipt-first-share", type=_SHARE, default=0.0, help="Receipts that come before the response.")
@click.option("--receipt-twice-share", type=_SHARE, default=0.0, help="Receipts that come twice.")
@click.option("--receipt-unknown-share", type=_SHARE, default=0.0, help="Extra receipts for ids never given.")
@click.option("--window-cap", type=_COUNT, default=0, help="Unanswered submits per bind, more are throttled.")
@click.option("--rate-cap", type=_COUNT, default=0, help="Submits per second, more are throttled.")
@click.option("--max-binds", type=_COUNT, default=0, help="Binds of an account at once, more get RALYBND.")
@click.option("--receipt-window", type=click.IntRange(min=1), default=10_000, help="Unanswered receipts per bind.")
@click.option("--resend-receipts/--no-resend-receipts", default=True, help="Send unanswered ones to the next bind.")
@click.option("--message-id-format", type=click.Choice(["decimal", "hex", "uuid"]), default="decimal")
@click.option("--receipt-id-format", type=click.Choice(["same", "decimal", "hex"]), default="same")
@click.option("--message-id-modulus", type=_COUNT, default=0, help="Use ids again after so many.")
@click.option("--split-bytes", type=_COUNT, default=0, help="Write in pieces of so many octets.")
@click.option("--coalesce-ms", type=_MILLISECONDS, default=0.0, help="Wait so long, then write everything together.")
@click.option("--refuse-binds", metavar="STATUS", help="Refuse every bind, as with bindfail.")
@click.option(
    "--json", "as_json", is_flag=True, help="When ready, print one line of JSON: host, port, stats_port, pid."
)
def command(
    *,
    host: str,
    port: int,
    stats_port: int,
    seed: int,
    first_number: int | None,
    system_id: str | None,
    password: str | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    profile: str | None,
    error_shares: tuple[str, ...],
    refuse_binds: str | None,
    as_json: bool,
    **settings: object,
) -> None:
    """Run an SMSC simulator: SMPP 3.4 over TCP, with receipts, delays, errors and a JSON statistics endpoint."""
    try:
        config = SmscConfig(
            host,
            port,
            stats_port,
            seed,
            system_id=system_id,
            password=password,
            first_number=first_number,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            tls_client_ca=tls_client_ca,
        )
        if profile is not None:
            config = with_profile(config, profile)
        behaviour = Behaviour().change(
            {
                **settings,
                "error_shares": dict(map(parse_share, error_shares)),
                "refuse_binds": parse_status(refuse_binds) if refuse_binds else 0,
            }
        )
    except (BehaviourError, ProfileError) as error:
        raise click.UsageError(str(error)) from error
    try:
        run_until_signal(lambda stop: _serve(config, behaviour, stop, as_json=as_json))
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}, ports {port} and {stats_port}: {error}") from error


async def _serve(config: SmscConfig, behaviour: Behaviour, stop: asyncio.Event, *, as_json: bool) -> None:
    server = await SmscServer.start(config, behaviour)
    ready = {
        "host": config.host,
        "port": server.port,
        "stats_port": server.stats_port,
        "pid": os.getpid(),
        "ports": server.ports,
    }
    if as_json:
        click.echo(json.dumps(ready))
    else:
        click.echo(f"SMSC on {config.host}:{server.port}, statistics on http://{config.host}:{server.stats_port}/stats")
    sys.stdout.flush()
    await stop.wait()
    await server.stop()
    for line in report_violations(server.simulator.describe()):
        click.echo(line, err=True)


def with_profile(config: SmscConfig, name: str) -> SmscConfig:
    """The configuration with this profile, its seed and its TLS files. ProfileError when it is not possible."""
    profile = load_profile(name)
    config = replace(config, profile=profile)
    if profile.tls is None:
        return config
    beside = Path(name).parent
    tls = profile.tls
    return replace(
        config,
        tls_certificate=beside / tls.certificate,
        tls_key=None if tls.key is None else beside / tls.key,
        tls_client_ca=None if tls.client_ca is None else beside / tls.client_ca,
    )


def report_violations(stats: Mapping[str, Any]) -> Iterator[str]:
    """What the client did against the rules, for the end of the process; a line for each kind, then examples."""
    if not stats["violations_total"]:
        yield "no violation counted"
        return
    for name, account in stats["accounts"].items():
        for kind, count in account["violations"].items():
            yield f"violation {kind} account {name}: {count}"
    for example in stats["violation_examples"][:_EXAMPLES_SHOWN]:
        yield (
            f"  at {example['at_seconds']:.3f} s, account {example['account'] or 'none'}, bind {example['bind']}: "
            f"{example['kind']}: {example['detail']}"
        )


if __name__ == "__main__":
    command()
