"""What to try after an import: one line that says how many people get nothing, and why. Pure."""

from collections.abc import Mapping

from broadcast.text.counts import counted

ADVICE: tuple[tuple[str, str], ...] = (
    ("no country code", "--region DE (or another country) reads numbers without a country code"),
    ("several numbers", "--numbers international (or national) says what digits without a plus sign are"),
    ("scientific", "export the column as text"),
    ("decimal", "export the column as text"),
    ("a date", "--map phone=COLUMN names the column of the numbers"),
    ("is empty", "--map phone=COLUMN names the column of the numbers"),
    ("not a phone number", "--map phone=COLUMN names the column of the numbers"),
    ("cells, the header", "put cells that hold a separator in quotes"),
    ("has eight digits", "ask these people, or their country's plan, for the number of today"),
    ("that Mexico gave up", "leave out the 1 after +52"),
    ("erased", "`broadcast recipients readmit NUMBER` for each of them who asks for it"),
)
"""A part of the reason, and what helps."""

SHOWN_REASONS = 3


def explain_refused(reasons: Mapping[str, int]) -> str:
    """The most usual reasons of refused rows with their counts."""
    usual = sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
    shown = [f"{count:,} {reason}" for reason, count in usual[:SHOWN_REASONS]]
    rest = sum(count for _, count in usual[SHOWN_REASONS:])
    return "; ".join([*shown, *([f"{rest:,} others"] if rest else [])])


def advise(reasons: Mapping[str, int], *, without_group: int, has_groups: bool) -> tuple[str, ...]:
    """What to try, each thing once, the most useful first."""
    usual = sorted(reasons, key=lambda reason: -reasons[reason])
    found = [advice for reason in usual for part, advice in ADVICE if part in reason]
    if without_group:
        found.append(
            "give them a group in the column groups"
            if has_groups
            else "--map groups=COLUMN names the column of the groups"
        )
    return tuple(dict.fromkeys(found))


def last_line(
    *, rows: int, refused: int, suppressed: int, without_group: int, reasons: Mapping[str, int], advice: tuple[str, ...]
) -> str:
    """How many people of a file get nothing, why, and what to try."""
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
