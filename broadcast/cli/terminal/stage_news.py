"""News of the stages while `broadcast up` runs, as lines with the time of day."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

CHANGING: Final = re.compile(
    r"; (?:next try|slowed to) .*"
    r"|(?:has answered none of|answers slowly:) .*"
    r"|(?<=answers late: )[0-9]+ of the last [0-9]+ answers"
)
"""Values that change all the time: alone they are no news."""

REPEAT: Final = timedelta(seconds=60)
"""Values that have changed are told again after so long."""


class _Told(NamedTuple):
    text: str
    at: datetime


class StageNews:
    """Remembers what was told, so that each thing is told once: when it begins, changes, and ends."""

    def __init__(self) -> None:
        self._told: Final[dict[str, _Told]] = {}
        self._seen: Mapping[str, str] = {}
        self._facts: dict[str, str] | None = None

    def tell(self, missing: Mapping[str, str], facts: Mapping[str, str], now: datetime) -> Iterator[tuple[str, str]]:
        """The lines to print at `now`, each as its mark and its text.

        What is missing is told when it was so twice in a row: a bind that is lost is mostly there again at once.
        """
        for name in self._told.keys() - missing.keys():
            del self._told[name]
            yield "✓", self._line(now, name, "in order again")
        for name, why in missing.items():
            told = self._told.get(name)
            if name not in self._seen or (told is not None and not _is_news(why, told, now)):
                continue
            self._told[name] = _Told(why, now)
            yield "✗", self._line(now, name, why)
        self._seen = dict(missing)
        known, self._facts = self._facts, dict(facts)
        for name, text in facts.items():
            if known is not None and known.get(name) != text:
                yield "·", self._line(now, name, text)

    def _line(self, now: datetime, name: str, text: str) -> str:
        return f"{now:%H:%M:%S} UTC {name}: {text}"


def _is_news(why: str, told: _Told, now: datetime) -> bool:
    if CHANGING.sub("", why) != CHANGING.sub("", told.text):
        return True
    return why != told.text and now - told.at >= REPEAT
