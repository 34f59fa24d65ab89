"""Numbers of things as people read them: 1 receipt is, 1,200 receipts are. Pure."""

from typing import Final


def counted(number: int, noun: str, verb: str = "", plural_verb: str = "") -> str:
    """A number with its noun, which gets an s unless the number is 1, and a verb that fits.

    Thousands have a comma. `verb` goes with one thing, `plural_verb` with more or none.
    """
    words = (f"{number:,}", noun, verb) if number == 1 else (f"{number:,}", f"{noun}s", plural_verb)
    return " ".join(filter(None, words))


MAYBE_SENT: Final = "may have been sent by a sender that ended; no submit is recorded"
"""What is said of recipients who are unknown without a submit; how many they are stands before it."""
