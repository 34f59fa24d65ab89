"""Groups of an alert that are empty, or that look like others in the directory: what its publisher is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from broadcast.cells.names import mixed_alphabets, shape_of, show_name
from broadcast.database import Connection
from broadcast.text.counts import counted

MEMBERS = """
WITH RECURSIVE reached (root, group_id) AS (
    SELECT id, id FROM groups WHERE name = ANY ($1::text[])
    UNION
    SELECT root, group_groups.child_id FROM group_groups JOIN reached ON group_groups.parent_id = reached.group_id
)
SELECT groups.name, count(DISTINCT recipient_id)
FROM reached JOIN groups ON groups.id = reached.root LEFT JOIN group_members USING (group_id) GROUP BY groups.name
"""

PEOPLED = """
WITH RECURSIVE reached (root, group_id) AS (
    SELECT id, id FROM groups WHERE name = ANY ($1::text[])
    UNION
    SELECT root, group_groups.child_id FROM group_groups JOIN reached ON group_groups.parent_id = reached.group_id
)
SELECT DISTINCT groups.name FROM reached JOIN groups ON groups.id = reached.root
WHERE EXISTS (SELECT FROM group_members WHERE group_members.group_id = reached.group_id)
"""

MIXED = "mixes {alphabets} letters in one word: look whether it is the group that is meant"


@dataclass(frozen=True, slots=True)
class Doubt:
    """One group of an alert that is not there, has nobody, looks like others, or mixes alphabets in a word.

    `alike` are the names that look like it with their members, the largest first, those of the alert included.
    """

    name: str
    known: bool
    empty: bool
    alike: tuple[tuple[str, int], ...]

    @property
    def mixed(self) -> tuple[str, ...]:
        """The alphabets of a word of its name that mixes some; else empty."""
        return mixed_alphabets(self.name)

    @property
    def suggestion(self) -> str:
        """Which other groups may be meant, as a question; empty if none looks like it."""
        shown = " or ".join(f"{show_name(name)} ({counted(members, 'member')})" for name, members in self.alike)
        return f"did you mean {shown}?" if shown else ""


async def find_doubts(connection: Connection, groups: Sequence[str]) -> tuple[Doubt, ...]:
    """What is doubtful about the groups of an alert, in their order; those that are plain are left out."""
    known = [row[0] for row in await connection.fetch("SELECT name FROM groups")]
    looks = {shape_of(name) for name in groups}
    alike = [name for name in known if shape_of(name) in looks]
    others = [name for name in alike if any(name != each and shape_of(name) == shape_of(each) for each in groups)]
    members = {row[0]: row[1] for row in await connection.fetch(MEMBERS, others)} if others else {}
    peopled = {row[0] for row in await connection.fetch(PEOPLED, list(groups))}
    doubts = (
        Doubt(
            name,
            known=name in alike,
            empty=name not in peopled,
            alike=tuple(
                sorted(
                    ((each, members[each]) for each in members if each != name and shape_of(each) == shape_of(name)),
                    key=lambda pair: (-pair[1], pair[0]),
                )
            ),
        )
        for name in dict.fromkeys(groups)
    )
    return tuple(doubt for doubt in doubts if doubt.empty or doubt.alike or doubt.mixed)


def explain_doubts(doubts: Sequence[Doubt], groups: Sequence[str]) -> tuple[str, ...]:
    """One warning for each doubtful group; a look-alike that the alert names too is no doubt where there are people.

    Another for each whose name mixes alphabets in a word.
    """
    warnings = []
    for doubt in doubts:
        shown = show_name(doubt.name)
        if not doubt.known:
            warnings.append(f"no group {shown} is known; {doubt.suggestion or 'import it, or correct the name'}")
        elif doubt.empty:
            warnings.append(f"nobody is in group {shown}; {doubt.suggestion or 'name a group that has members'}")
        else:
            others = " and ".join(
                f"{show_name(name)} ({counted(count, 'member')})" for name, count in doubt.alike if name not in groups
            )
            if others:
                warnings.append(f"group {shown} looks like {others}: an alert to one of them does not reach the other")
        if doubt.mixed:
            warnings.append(f"group {shown} {MIXED.format(alphabets=' and '.join(doubt.mixed))}")
    return tuple(warnings)


def suggest(doubts: Sequence[Doubt]) -> str:
    """Which other groups may be meant by those that have nobody; empty if none looks like them."""
    return " ".join(doubt.suggestion for doubt in doubts if doubt.empty and doubt.suggestion)
