"""Which messages an account refuses, and whether it takes others meanwhile. Pure."""

from collections.abc import Iterable
from typing import Final, TypeAlias

from schemas.job import Job

Content: TypeAlias = tuple[str, int, str]
"""Alert, variant, and the job's own text: what all its recipients get."""

CONTENTS_LIMIT: Final = 1_000
"""Contents remembered; beyond it all are forgotten."""

ACCEPTED_SECONDS: Final = 10.0
"""So long an acceptance of another message says that the account works."""


def content_of(job: Job) -> Content:
    """The content of a job."""
    return job.alert_id, job.variant, job.text


class RefusedContents:
    """Tells a message that an account does not take from an account that takes nothing. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._refused: Final[dict[Content, int]] = {}
        self._accepted: Final[dict[Content, tuple[float, int]]] = {}
        self._noted = 0
        self._other_faults = False

    def __bool__(self) -> bool:
        return bool(self._refused)

    def only(self, now: float) -> Content | None:
        """The one message that was refused, if others were accepted shortly before `now` and nothing else failed."""
        if self._other_faults or len(self._refused) != 1:
            return None
        [refused] = self._refused
        others = (at for content, (at, _) in self._accepted.items() if content != refused)
        return refused if any(now - at <= ACCEPTED_SECONDS for at in others) else None

    def blames(self, content: Content, now: float) -> bool:
        """Whether it is certain that this message is to blame, and not the account.

        It is the one that was refused, and the account has accepted others, and not this one, since the first refusal.
        """
        return (
            self.only(now) == content
            and self.accepts_beside(content, now)
            and not self._accepted_since(content, self._refused[content], now)
        )

    def accepts_beside(self, content: Content, now: float) -> bool:
        """Whether the account refuses this message and has accepted anything since the first refusal, and lately."""
        since = self._refused.get(content)
        return since is not None and any(self._accepted_since(each, since, now) for each in self._accepted)

    def _accepted_since(self, content: Content, since: int, now: float) -> bool:
        at, noted = self._accepted.get(content, (float("-inf"), 0))
        return noted > since and now - at <= ACCEPTED_SECONDS

    def note(self, refused: Iterable[Content], accepted: Iterable[Content], now: float, *, other_faults: bool) -> None:
        """Note the contents of answers, the acceptances before the refusals.

        `other_faults`: some answers were faults that say nothing of the content.
        """
        self._noted += 1
        self._accepted.update(dict.fromkeys(accepted, (now, self._noted)))
        for content in refused:
            self._refused.setdefault(content, self._noted)
        self._other_faults = self._other_faults or other_faults
        if len(self._refused) + len(self._accepted) > CONTENTS_LIMIT:
            self.clear()

    def clear(self) -> None:
        """Forget all: recent answers have no fault any more, or a probe has succeeded."""
        self._refused.clear()
        self._accepted.clear()
        self._other_faults = False
