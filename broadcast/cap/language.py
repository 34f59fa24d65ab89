"""Which variant of an alert a recipient reads: the exact language, else its primary subtag, else the first variant."""

from collections.abc import Iterable, Mapping, Sequence

from schemas.control import Variant

DEFAULT = 0
"""The variant of the alert's first info, for those whose language it does not have."""


def languages_of(variants: Sequence[Variant]) -> dict[str, int]:
    """The index of the variant for each lower-case tag, and for each primary subtag that has no variant of its own."""
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


class _Chosen(dict[str | None, int]):
    def __init__(self, languages: Mapping[str, int], default: int) -> None:
        super().__init__()
        self.languages, self.default = languages, default

    def __missing__(self, language: str | None) -> int:
        self[language] = choose(self.languages, language, self.default)
        return self[language]
