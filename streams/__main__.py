"""`python -m streams STAGE`: one stage as a process, with its health, until SIGTERM or SIGINT."""

import sys
from importlib import import_module
from typing import NoReturn

from broadcast.process import Run, run_process
from broadcast.stages import STREAMS


def main(arguments: list[str]) -> NoReturn:
    """Run the named stage and end the process. Exit codes are those of `run_process`, and 2 for a wrong name."""
    if len(arguments) != 1 or arguments[0] not in STREAMS:
        sys.stderr.write(f"usage: python -m streams {'|'.join(STREAMS)}\n")
        sys.exit(2)
    stage = arguments[0]

    def load() -> Run:
        run: Run = import_module(f"streams.{stage}").run
        return run

    run_process(stage, load, command=f"streams {stage}")


if __name__ == "__main__":
    main(sys.argv[1:])
