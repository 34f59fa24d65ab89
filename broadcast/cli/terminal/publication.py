"""One publication from the command line: the very same request until it is confirmed."""

import shlex
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from broadcast.api.client import Client
from broadcast.errors import InputError, UnavailableError, UnconfirmedError

REPEAT_SECONDS: Final = 0.5

NOT_CONFIRMED: Final = "not confirmed"
"""The state of an alert of which nobody knows whether Kafka has it."""


class Named(NamedTuple):
    """What names an alert: its id, and the fields from which that is made; `sent` as CAP writes it."""

    alert_id: str
    identifier: str
    sent: str


def submit(
    api: Client, content: bytes, headers: dict[str, str], wait_seconds: float, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Publish these octets, and again the same octets while it is not confirmed and `wait_seconds` are not over.

    The same alert is accepted once. Raises UnconfirmedError if it may have been accepted, and nobody knows.
    """
    deadline = time.monotonic() + wait_seconds
    pending: UnconfirmedError | None = None
    while True:
        try:
            return api.post("/v1/alerts", content=content, headers=headers)
        except (UnavailableError, InputError) as error:
            if isinstance(error, UnconfirmedError):
                if pending is None and wait_seconds:
                    tell(f"not confirmed yet, and asked again as it is, for {wait_seconds:g} s: {error}")
                pending = error
            elif pending is None:
                raise
            elif isinstance(error, InputError):
                raise pending from error
        if time.monotonic() >= deadline:
            raise pending
        time.sleep(REPEAT_SECONDS)


def describe_unconfirmed(named: Named | None, words: list[str], error: Exception, *, reissued: bool) -> Iterator[str]:
    """What to do about an alert that is not confirmed. `words` are the options and the FILE that published it."""
    yield f"{NOT_CONFIRMED}: {error}"
    if named is None:
        yield "look with `broadcast alert list` before anything is published again"
        return
    again = "publish it again with --now" if reissued else "publish it under another identifier"
    yield f"do not {again}; look with `broadcast alert show {named.alert_id}`"
    yield f"this repeats the very same, which is sent once: {repeat_of(named, words, reissued=reissued)}"


def repeat_of(named: Named, words: list[str], *, reissued: bool) -> str:
    """The command that publishes the very same again."""
    same = ["--now", "--identifier", named.identifier, "--sent", named.sent] if reissued else []
    return shlex.join(["broadcast", "alert", "publish", *same, *words])
