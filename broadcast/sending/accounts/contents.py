"""Which messages an account refuses, and whether it takes others meanwhile. Pure."""

from collections.abc import Iterable
from typing import Final, TypeAlias

Content: TypeAlias = tuple[str, int, str]
"""Alert, variant, and the job's own text: what all its recipients get."""

CONTENTS_LIMIT: Final = 1_000
"""Contents remembered; beyond it all are forgotten."""


ACCEPTED_SECONDS: Final = 10.0
"""So long an acceptance of another message says that the account works."""


class RefusedContents:
    """Tells a message that an account does not take from an account that takes nothing. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._refused: Final[set[Content]] = set()
        self._accepted: Final[dict[Content, float]] = {}
        self._other_faults = False

    def __bool__(self) -> bool:
        return bool(self._refused)

    def only(self, now: float) -> Content | None:
        """The one message that was refused, if others were accepted shortly before `now` and nothing else failed."""
        if self._other_faults or len(self._refused) != 1:
            return None
        [refused] = self._refused
        others = (at for content, at in self._accepted.items() if content != refused)
        return refused if any(now - at <= ACCEPTED_SECONDS for at in others) else None

    def note(self, refused: Iterable[Content], accepted: Iterable[Content], now: float, *, other_faults: bool) -> None:
        """Note the contents of answers that came together; `other_faults`: some of them say nothing of the content."""
        self._refused.update(refused)
        self._accepted.update(dict.fromkeys(accepted, now))
        self._other_faults = self._other_faults or other_faults
        if len(self._refused) + len(self._accepted) > CONTENTS_LIMIT:
            self.clear()

    def clear(self) -> None:
        """Forget all: recent answers have no fault any more, or a probe has succeeded."""
        self._refused.clear()
        self._accepted.clear()
        self._other_faults = False
