"""News of the stages while `broadcast up` runs, as lines with the time of day."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

CHANGING: Final = re.compile(
    r"; (?:next try|slowed to) .*"
    r"|(?<=no commit for )[0-9]+ s, and [0-9,]+(?= records)"
    r"|(?:has answered none of|answers slowly:) .*"
    r"|(?<=answers late: )[0-9]+ of the last [0-9]+ answers"
)
"""Values that change all the time: alone they are no news."""

REPEAT: Final = timedelta(seconds=60)
"""Values that have changed are told again after so long, then after twice that, and so on."""

ACCOUNT: Final = re.compile(r"^(?:rate of )?account (?P<name>.+)$")
"""Names of what a sender says of an account."""


class _Told(NamedTuple):
    text: str
    at: datetime
    pause: timedelta = REPEAT


class StageNews:
    """Remembers what was told, so that each thing is told once: when it begins, changes, and ends."""

    def __init__(self) -> None:
        self._told: Final[dict[str, _Told]] = {}
        self._seen: Mapping[str, str] = {}
        self._facts: dict[str, str] | None = None

    def tell(
        self, missing: Mapping[str, str], facts: Mapping[str, str], now: datetime, *, starting: bool = False
    ) -> Iterator[tuple[str, str]]:
        """The lines to print at `now`, each as its mark and its text.

        What is missing is told when it was so twice in a row: a bind that is lost is mostly there again at once. While
        a stage is `starting`, an account of which nothing is said is not in order: nobody has tried its binds yet.
        """
        for name in sorted(self._told.keys() - missing.keys()):
            account = ACCOUNT.match(name)
            if account is not None and starting:
                continue
            del self._told[name]
            if account is not None and account["name"] not in _accounts_of(facts, account["name"]):
                yield "·", self._line(now, name, "is not in the routes file any more")
            else:
                yield "✓", self._line(now, name, "in order again")
        for name, why in missing.items():
            told = self._told.get(name)
            if name not in self._seen or (told is not None and not _is_news(why, told, now)):
                continue
            repeated = told is not None and _is_same(why, told)
            self._told[name] = _Told(why, now, 2 * told.pause if told is not None and repeated else REPEAT)
            yield "✗", self._line(now, name, why)
        self._seen = dict(missing)
        known, self._facts = self._facts, dict(facts)
        for name, text in facts.items():
            if known is not None and known.get(name) != text:
                yield "·", self._line(now, name, text)

    def _line(self, now: datetime, name: str, text: str) -> str:
        return f"{now:%H:%M:%S} UTC {name}: {text}"


def _accounts_of(facts: Mapping[str, str], otherwise: str) -> Sequence[str]:
    """The accounts that the fact about the routes names; `otherwise` alone where there is none."""
    _, found, names = facts.get("routes", "").partition(", accounts: ")
    return names.split(", ") if found else (otherwise,)


def _is_same(why: str, told: _Told) -> bool:
    return CHANGING.sub("", why) == CHANGING.sub("", told.text)


def _is_news(why: str, told: _Told, now: datetime) -> bool:
    if not _is_same(why, told):
        return True
    return why != told.text and now - told.at >= told.pause
