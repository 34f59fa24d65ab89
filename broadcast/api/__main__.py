"""`python -m broadcast.api`: the API process."""

from typing import NoReturn

from broadcast.api.server import run
from broadcast.process import run_process


def main() -> NoReturn:
    """Serve the API until SIGTERM or SIGINT; exit codes as `run_process` has them."""
    run_process("api", lambda: run, command="broadcast api", probes=False)


if __name__ == "__main__":
    main()
