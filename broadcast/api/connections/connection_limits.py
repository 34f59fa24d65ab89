"""How many connections the API may have, as far as the process may open file descriptors."""

import resource
from typing import NamedTuple

import structlog

from broadcast.errors import SettingsError

log = structlog.get_logger(__name__)

DESCRIPTORS_KEPT = 64
"""For Kafka, PostgreSQL, the listener, files and logs, and for connections that are about to be closed."""

LEAST = 16


class ConnectionLimits(NamedTuple):
    """Most connections at once, and most of one address."""

    total: int
    per_address: int


def choose_limits(total: int, per_address: int) -> ConnectionLimits:
    """The limits that are in force; the soft limit of file descriptors is raised if the hard one allows it.

    Raises SettingsError if the process may open too few.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = total + DESCRIPTORS_KEPT
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY and soft < wanted:
        log.warning("connections_limited", wanted=total, most=soft - DESCRIPTORS_KEPT, descriptors=soft)
        total = soft - DESCRIPTORS_KEPT
    if total < LEAST:
        raise SettingsError(
            f"the process may open {soft} file descriptors, and needs {LEAST + DESCRIPTORS_KEPT} at least; raise the"
            " limit (`ulimit -n`, LimitNOFILE of systemd)"
        )
    return ConnectionLimits(total, min(per_address, total))
