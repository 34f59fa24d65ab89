"""What recipients read of an alert: a text for each of its languages, and who reads which."""

from collections.abc import Iterable, Mapping, Sequence

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


def render(alert: Alert, *, highest_segments: int) -> tuple[Variant, ...]:
    """The texts of an alert, one for each language, in the order of its infos; raises `RenderingError`.

    Of each info: its parameter `SMS` (or CMAMlongtext, CMAMtext) if it has one; else a line each of headline (or
    event), instruction and senderName. Infos of one language follow one another, each line once. White space is
    collapsed, characters that nobody can see are removed, typography made plain where the text then fits GSM 03.38, and
    what is not real begins with EXERCISE or TEST. A text has at most `highest_segments` segments.
    """
    if not alert.info:
        raise _broken("info", "6.1", "the alert has no info, so there is nothing to read; add one")
    by_language: dict[str, list[int]] = {}
    for index, info in enumerate(alert.info):
        by_language.setdefault(info.language.lower(), []).append(index)
    variants = []
    for indices in by_language.values():
        text = plain(_text_of([alert.info[index] for index in indices], MARKS.get(alert.status)))
        if not text:
            raise _broken(f"info[{indices[0]}]", "6.1", "nothing in it can be read; give a headline that is not blank")
        segments = segment_count(text)
        if segments > highest_segments:
            language = alert.info[indices[0]].language
            raise _broken(
                f"info[{indices[0]}]",
                "segments",
                f"the text in {language} needs {segments} segments, more than {highest_segments};"
                " shorten instruction, or give a parameter SMS",
            )
        variants.append(Variant(language=alert.info[indices[0]].language, text=text))
    return tuple(variants)


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
