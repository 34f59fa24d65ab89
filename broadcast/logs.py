"""Structured logs on stderr: JSON or console, the alert id bound, phone numbers masked.

Everything that a process logs, libraries included, leaves through one handler, so that the mask is in nobody's hands.
"""

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

if TYPE_CHECKING:
    from broadcast.settings import Settings

MASK = "[number]"

_processors: list[Processor] = []
"""One list, changed in place: a logger keeps the list that there was at its first line."""

CALM_SECONDS = 10.0
"""A message of a library that repeats is logged once in so long."""

_NUMBER_FIELDS = frozenset({"number", "msisdn", "phone", "phone_number", "source_addr", "destination_addr"})
_NUMBER = re.compile(
    r"""
    (?P<uuid> (?<!\w) [0-9a-f]{8} (?: - [0-9a-f]{4} ){3} - [0-9a-f]{12} (?!\w) )  # an id, whatever its digits look like
    | (?<![\w+]) (?: \+ | 00 ) [1-9] (?: [ ()./-]{0,2} \d ){6,14} (?!\d)   # international, as people write it too
    | (?<![\w.:+-]) \d{10,15} (?![\w.:-])                                # digits alone; not a part of an id or a time
    """,
    re.VERBOSE | re.ASCII,
)
_LOUD = ("aiokafka", "kafka", "faust", "mode", "alembic", "asyncio", "httpx", "httpcore", "uvicorn")
"""Libraries whose INFO is of no use to an operator."""


def mask_numbers(text: str) -> str:
    """The text with each phone number replaced by a mark: E.164, or 10 to 15 digits alone."""
    return _NUMBER.sub(lambda found: found["uuid"] or MASK, text)


def configure(settings: "Settings", stage: str) -> None:
    """Send all logs of this process to stderr, marked with `stage`; the settings name format and lowest level."""
    _send(settings.log_level, console=settings.log_format == "console", stage=stage, slot=settings.slot)


def configure_command() -> None:
    """Send warnings and errors of a command to stderr, as text; stdout is for its answer."""
    _send("WARNING", console=True)


def _send(level: str, *, console: bool, **fields: str) -> None:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Marker(**fields),
    ]
    last: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            mask_event,
            last,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(_Calm())
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in _LOUD:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    _processors[:] = [
        structlog.stdlib.filter_by_level,
        *shared,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ]
    structlog.configure(
        processors=_processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


@contextmanager
def bound_alert(alert_id: UUID | str) -> Iterator[None]:
    """Add `alert_id` to every log line within, in this task and in tasks that it starts."""
    with structlog.contextvars.bound_contextvars(alert_id=str(alert_id)):
        yield


def mask_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A processor: mask numbers in every value, however deep; a field that is named for a number is masked whole."""
    return {name: _masked(name, value) for name, value in event.items()}


def _masked(name: str, value: Any) -> Any:
    if name in _NUMBER_FIELDS and value is not None:
        return MASK
    match value:
        case str():
            return mask_numbers(value)
        case bytes() | bytearray():
            return mask_numbers(bytes(value).decode(errors="replace"))
        case None | bool() | int() | float() | UUID():
            return value
        case Mapping():
            return {mask_numbers(str(key)): _masked(str(key), item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked("", item) for item in value]
        case _:
            return mask_numbers(str(value))


class _Calm(logging.Filter):
    # A library that cannot reach its broker says so ten times a second; once in CALM_SECONDS is enough of the same.

    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(_LOUD) or not isinstance(record.msg, str):
            return True
        kind = (record.name, record.msg)
        if record.created - self._said_at.get(kind, 0.0) < CALM_SECONDS:
            return False
        if len(self._said_at) > 1_000:
            self._said_at.clear()
        self._said_at[kind] = record.created
        return True


class _Marker:
    # Constant fields of a process on every line, libraries' lines included.

    def __init__(self, **fields: str) -> None:
        self.fields = fields

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**self.fields, **event}
