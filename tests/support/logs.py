"""The logging of this process, as it is before anything configures it."""

import logging
import sys

import structlog

from broadcast import logs


def unconfigure() -> None:
    """Undo every configuration of logs, in loggers that have logged under one too.

    A logger that is cached keeps the wrapper and the list of processors of its first line: without this the test that
    runs next in the same process captures nothing of it.
    """
    # A thread of an earlier test may import something meanwhile.
    for name, module in sys.modules.copy().items():
        if name.startswith(("broadcast.", "streams.")):
            getattr(module, "log", module).__dict__.pop("bind", None)
    for name in logs._LOUD:
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()
