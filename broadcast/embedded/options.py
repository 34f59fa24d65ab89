"""What the embedded stack is to start, and the routes file that it writes for its simulator."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from broadcast.embedded.ports import LOOPBACK
from broadcast.stages import STAGES

ROUTES = """\
# Written by `broadcast up` for its simulator. Name another file in BROADCAST_ROUTES_FILE.
[[routes]]
name = "simulated"
prefixes = ["+"]
live = false

[[routes.accounts]]
name = "simulator"
host = "{host}"
port = {port}
system_id = "tocsin"
password = "simulate"
window = 1000
"""


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """What to start and where. Ports are free ones, remembered in the data directory, unless given."""

    stages: tuple[str, ...] = STAGES
    simulator: bool = True
    simulator_arguments: tuple[str, ...] = ()
    routes_file: Path | None = None
    kafka_port: int | None = None
    postgres_port: int | None = None
    simulator_port: int | None = None
    api_port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """Settings of every stage, as `BROADCAST_...`."""


def write_routes(file: Path, simulator_port: int) -> None:
    """Write the routes file for the simulator on this port, unless it says so already."""
    content = ROUTES.format(host=LOOPBACK, port=simulator_port)
    if not file.exists() or file.read_text() != content:
        file.write_text(content)
