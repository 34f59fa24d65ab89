"""Yes and no in several languages. Pure."""

WORDS: dict[bool, tuple[str, ...]] = {
    True: ("1", "true", "t", "yes", "y", "x", "ja", "j", "wahr", "oui", "vrai", "si", "sí", "sì", "verdadero", "vero",
           "sim", "tak", "da", "да", "evet", "igen", "ano", "kyllä"),
    False: ("0", "false", "f", "no", "n", "nein", "falsch", "non", "faux", "falso", "não", "nao", "nie", "нет", "hayır",
            "nem", "nej"),
}  # fmt: skip
"""The words, in lower case. What is yes in one language and no in another is neither."""

_MEANING = {word: meaning for meaning, words in WORDS.items() for word in words}


def read_yes_no(text: str) -> bool | None:
    """Whether a word means yes; None for one that is neither yes nor no."""
    return _MEANING.get(text.casefold())
