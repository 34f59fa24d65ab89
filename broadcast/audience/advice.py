"""What to try after an import: one line that says how many people get nothing, and why. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from broadcast.text.counts import counted

ONE_NUMBER = "write one number into each row, and nothing else in its cell"
ONE_IDENTITY = "give each person one id and one number"
NUMBER_OF_TODAY = "ask these people, or their country's plan, for the number of today"
CORRECT = "correct the rows that the report names, and import the file again"
"""What helps where nothing else is known."""

ADVICE: tuple[tuple[str, str], ...] = (
    ("no country code", "--region DE (or another country) reads numbers without a country code"),
    ("several numbers", "--numbers international (or national) says what digits without a plus sign are"),
    ("scientific", "export the column as text"),
    ("decimal", "export the column as text"),
    ("a date", "--map phone=COLUMN names the column of the numbers"),
    ("is empty", "--map phone=COLUMN names the column of the numbers"),
    ("not a phone number", "--map phone=COLUMN names the column of the numbers"),
    ("cells than the header", "put cells that hold a separator in quotes"),
    ("has eight digits", NUMBER_OF_TODAY),
    ("is written with", "write these numbers as the report says, one spelling for each phone"),
    ("mailbox", "ask these people for the number of their phone"),
    ("parameter", ONE_NUMBER),
    ("phone-context", ONE_NUMBER),
    ("that Mexico gave up", "leave out the 1 after +52"),
    ("not a valid number in its country", "--region with the country that the numbers are of"),
    ("formula", "export the values of the cells, not their formulas"),
    ("error of a spreadsheet", "correct the formula in the spreadsheet"),
    ("more than one number", ONE_NUMBER),
    ("two numbers", ONE_NUMBER),
    ("extension", ONE_NUMBER),
    ("has letters", ONE_NUMBER),
    ("no number has", ONE_NUMBER),
    ("no digit where", ONE_NUMBER),
    ("brackets", ONE_NUMBER),
    ("too long", ONE_NUMBER),
    ("of Brazil", NUMBER_OF_TODAY),
    ("digit too few", NUMBER_OF_TODAY),
    ("of Colombia", NUMBER_OF_TODAY),
    ("of Gabon", NUMBER_OF_TODAY),
    ("Manila", NUMBER_OF_TODAY),
    ("of Vietnam", NUMBER_OF_TODAY),
    ("in another line", ONE_IDENTITY),
    ("of another recipient", ONE_IDENTITY),
    ("erased", "`broadcast recipients readmit NUMBER` for each of them who asks for it"),
)
"""A part of the reason, and what helps."""

LINES_FROM = 3
"""From so many reasons on a person gets a line for each."""

SHOWN_REASONS = 3
"""Reasons with a count of their own; the others are named together."""


def explain_refused(reasons: Mapping[str, int]) -> str:
    """The most usual reasons of refused rows with their counts."""
    usual = sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
    shown = [f"{count:,} {reason}" for reason, count in usual[:SHOWN_REASONS]]
    others = usual[SHOWN_REASONS:]
    if others:
        named = ", ".join(reason for reason, _ in others)
        shown.append(f"{sum(count for _, count in others):,} for other reasons ({named})")
    return "; ".join(shown)


def advise(reasons: Mapping[str, int], *, without_group: int, has_groups: bool) -> tuple[str, ...]:
    """What to try, each thing once, the most useful first."""
    usual = sorted(reasons, key=lambda reason: -reasons[reason])
    found = [advice for reason in usual for part, advice in ADVICE if part in reason]
    if usual and not all(any(part in reason for part, _ in ADVICE) for reason in usual):
        found.append(CORRECT)
    if without_group:
        found.append(
            "give them a group in the column groups"
            if has_groups
            else "--map groups=COLUMN names the column of the groups"
        )
    return tuple(dict.fromkeys(found))


def end_lines(
    *, unreached: int, rows: int, suppressed: int, without_group: int, reasons: Mapping[str, int], advice: Sequence[str]
) -> Iterator[str]:
    """The same as the last line with every reason and all advice in a line of its own."""
    yield f"{unreached:,} of {rows:,} people will get nothing:"
    for reason, count in sorted(reasons.items(), key=lambda each: (-each[1], each[0])):
        yield f"  {count:,} {reason}"
    if suppressed:
        yield f"  {suppressed:,} suppressed"
    if without_group:
        yield f"  {without_group:,} in no group"
    if advice:
        yield "try (with --dry-run nothing is changed):"
        yield from (f"  {each}" for each in advice)


def last_line(
    *, rows: int, refused: int, suppressed: int, without_group: int, reasons: Mapping[str, int], advice: tuple[str, ...]
) -> str:
    """How many people of a file get nothing, why, and what to try."""
    if not rows:
        return "the file has no people: there is no row after its header, so nobody is loaded"
    unreached = refused + suppressed + without_group
    if not unreached:
        return f"all {counted(rows, 'person', '', '') if rows == 1 else f'{rows:,} people'} of the file can be alerted"
    parts = [explain_refused(reasons)] if refused else []
    if suppressed:
        parts.append(f"{suppressed:,} suppressed")
    if without_group:
        parts.append(f"{without_group:,} in no group")
    tried = f". Try: {'; '.join(advice)}" if advice else ""
    if advice and refused:
        tried += "; with --dry-run nothing is changed"
    return f"{unreached:,} of {rows:,} people will get nothing: {'; '.join(parts)}{tried}"
