"""What recipients read of an alert: a text for each of its languages, and who reads which."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from broadcast.errors import InputError
from broadcast.text import plain, segment_count
from broadcast.text.invisible import is_invisible, remove_invisible
from schemas.alert import Alert, Info, Status
from schemas.control import Variant

PARAMETERS = ("SMS", "CMAMlongtext", "CMAMtext")
"""CAP parameters that hold a text for phones, the first that is there counts (CMAM: IPAWS profile)."""

MARKS = {Status.EXERCISE: "EXERCISE", Status.TEST: "TEST"}
"""What stands before a text that is no warning, so that nobody takes an exercise for an actual alert."""

DEFAULT = 0
"""The variant of the alert's first info, for those whose language it does not have."""


class RenderingError(InputError):
    """An alert that has no text, or one too long for an SMS; the findings say which info."""


def render(
    alert: Alert, *, highest_segments: int, places: Sequence[int] | None = None, ends: Sequence[datetime] = ()
) -> tuple[Variant, ...]:
    """The texts of an alert, one for each language, in the order of its infos; raises `RenderingError`.

    Of each info: its parameter `SMS` (or CMAMlongtext, CMAMtext) if it has one; else a line each of headline (or
    event), instruction and senderName. Infos of one language follow one another, each line once. White space is
    collapsed, characters that nobody can see are removed, typography made plain where the text then fits GSM 03.38, and
    what is not real begins with EXERCISE or TEST. A text has at most `highest_segments` segments.

    `places` are those of the infos that are looked at, all if it is None. `ends` has the end of each info of the alert.
    Where they end at different instants, each text holds for a time, and names the text that follows: that of the infos
    of its language which are still in force, else that of another language. The texts that come first stand before
    those that follow.
    """
    if not alert.info:
        raise _broken("info", "6.1", "the alert has no info, so there is nothing to read; add one")
    by_language = _by_language(alert, range(len(alert.info)) if places is None else places)
    if len({ends[place] for several in by_language.values() for place in several} if ends else ()) < 2:
        return tuple(
            Variant(alert.info[several[0]].language, _checked_text(alert, several, highest_segments))
            for several in by_language.values()
        )
    return _render_phases(alert, by_language, highest_segments, ends)


def languages_of(variants: Sequence[Variant]) -> dict[str, int]:
    """The index of the variant for each lower-case tag, and for each primary subtag without a variant of its own."""
    exact = {variant.language.lower(): index for index, variant in reversed(list(enumerate(variants)))}
    primary = {tag.partition("-")[0]: index for tag, index in sorted(exact.items(), key=lambda item: -item[1])}
    return primary | exact


def choose(languages: Mapping[str, int], language: str | None, default: int = DEFAULT) -> int:
    """The index of the variant for a recipient's language (`de-AT`, `de_AT`, None)."""
    tag = (language or "").strip().lower().replace("_", "-")
    return languages.get(tag, languages.get(tag.partition("-")[0], default))


def choose_all(languages: Mapping[str, int], recipients: Iterable[str | None], default: int = DEFAULT) -> list[int]:
    """`choose` for a chunk of recipients' languages, each language looked up once."""
    chosen = _Chosen(languages, default)
    return [chosen[language] for language in recipients]


def _by_language(alert: Alert, places: Iterable[int]) -> dict[str, list[int]]:
    by_language: dict[str, list[int]] = {}
    for place in places:
        by_language.setdefault(alert.info[place].language.lower(), []).append(place)
    return by_language


def _checked_text(alert: Alert, places: Sequence[int], highest_segments: int) -> str:
    text = plain(_text_of([alert.info[place] for place in places], MARKS.get(alert.status)))
    if not text:
        raise _broken(f"info[{places[0]}]", "6.1", "nothing in it can be read; give a headline that is not blank")
    segments = segment_count(text)
    if segments > highest_segments:
        raise _broken(
            f"info[{places[0]}]",
            "segments",
            f"the text in {alert.info[places[0]].language} needs {segments} segments, more than {highest_segments};"
            " shorten instruction, or give a parameter SMS",
        )
    return text


def _render_phases(
    alert: Alert, by_language: Mapping[str, Sequence[int]], highest_segments: int, ends: Sequence[datetime]
) -> tuple[Variant, ...]:
    last = {language: max(ends[place] for place in places) for language, places in by_language.items()}
    heads = {language: index for index, language in enumerate(by_language)}
    first: list[Variant] = []
    later: list[Variant] = []
    for language, places in by_language.items():
        chain: list[Variant] = []
        for end in sorted({ends[place] for place in places}):
            left = [place for place in places if ends[place] >= end]
            text = _checked_text(alert, left, highest_segments)
            if chain and chain[-1].text == text:
                chain.pop()
            chain.append(Variant(alert.info[places[0]].language, text, _milliseconds(end)))
        for step in range(1, len(chain)):
            # The others of the chain go behind all the first ones, in order.
            chain[step - 1].following = len(heads) + len(later) + step - 1
        chain[-1].following = _choose_other(language, last, heads)
        if last[language] == max(last.values()):
            chain[-1].expires_at = 0
        first.append(chain[0])
        later += chain[1:]
    return (*first, *later)


def _choose_other(language: str, last: Mapping[str, datetime], heads: Mapping[str, int]) -> int:
    # One that is in force for longer; of the same primary subtag if there is one.
    longer = [other for other in last if last[other] > last[language]]
    alike = [other for other in longer if other.partition("-")[0] == language.partition("-")[0]]
    return heads[(alike or longer)[0]] if longer else -1


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)


def _text_of(infos: Sequence[Info], mark: str | None) -> str:
    bodies = [line for info in infos for line in _lines_of(info)]
    names = [info.sender_name for info in infos if not _own_text_of(info) and info.sender_name]
    text = "\n".join(dict.fromkeys(_collapse([*bodies, *names])))
    return f"{mark}: {text}" if mark and text and not text.upper().startswith(f"{mark}:") else text


def _lines_of(info: Info) -> list[str]:
    own = _own_text_of(info)
    if own:
        return own.splitlines()
    return [info.headline if info.headline and _can_be_read(info.headline) else info.event, info.instruction or ""]


def _own_text_of(info: Info) -> str | None:
    given = {entry.value_name: entry.value for entry in reversed(info.parameter) if _can_be_read(entry.value)}
    return next((given[name] for name in PARAMETERS if name in given), None)


def _collapse(lines: Iterable[str]) -> list[str]:
    return [
        collapsed
        for line in lines
        if (collapsed := " ".join(remove_invisible(line).split())) and _can_be_read(collapsed)
    ]


def _can_be_read(text: str) -> bool:
    """Whether a phone shows anything of it: not of blanks, nor of controls or characters without width."""
    return any(not (character.isspace() or is_invisible(character)) for character in text)


def _broken(path: str, rule: str, message: str) -> RenderingError:
    return RenderingError(f"{path}: {message} [{rule}]", ((path, rule, message),))


class _Chosen(dict[str | None, int]):
    def __init__(self, languages: Mapping[str, int], default: int) -> None:
        super().__init__()
        self.languages, self.default = languages, default

    def __missing__(self, language: str | None) -> int:
        self[language] = choose(self.languages, language, self.default)
        return self[language]
