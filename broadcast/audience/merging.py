"""Merging staged rows into the directory: set-based SQL, in the transaction of the import."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from broadcast.audience.number_changes import move_numbers
from broadcast.audience.rows import Finding, mask
from broadcast.cells.names import look_alikes, mixed_alphabets, show_name
from broadcast.database import Connection

STAGE = """
CREATE TEMPORARY TABLE incoming (
    line bigint NOT NULL, external_id text COLLATE "C", msisdn text COLLATE "C" NOT NULL, language text,
    latitude double precision, longitude double precision, participant boolean, groups text,
    joins boolean NOT NULL DEFAULT false
) ON COMMIT DROP
"""

LOCK = "LOCK TABLE recipients, groups, group_members IN SHARE ROW EXCLUSIVE MODE"
# One import, or erasure, at a time; whoever reads, and so every alert, goes on.

SETTINGS = "SELECT set_config('work_mem', '128MB', true), set_config('jit', 'off', true)"

CONTRADICTIONS = """
WITH contradicted AS (
    SELECT external_id, min(line) AS line FROM incoming WHERE external_id IS NOT NULL
    GROUP BY external_id HAVING min(msisdn) <> max(msisdn)
)
DELETE FROM incoming USING contradicted JOIN incoming AS first ON first.line = contradicted.line
WHERE incoming.external_id = contradicted.external_id AND incoming.msisdn <> first.msisdn
RETURNING incoming.line, incoming.external_id, contradicted.line
"""

REPEATED = """
UPDATE incoming SET joins = true FROM (
    SELECT line, row_number() OVER (
        PARTITION BY msisdn
        ORDER BY (recipients.external_id = incoming.external_id) IS TRUE DESC,
                 incoming.external_id IS NULL, line
    ) AS place
    FROM incoming LEFT JOIN recipients USING (msisdn)
    WHERE msisdn IN (SELECT msisdn FROM incoming GROUP BY msisdn HAVING count(*) > 1)
) AS ranked
WHERE incoming.line = ranked.line AND ranked.place > 1
"""

OTHERS = """
UPDATE incoming SET joins = true FROM recipients
WHERE recipients.msisdn = incoming.msisdn AND recipients.external_id <> incoming.external_id AND NOT joins
"""

UPDATE = """
WITH written AS (
UPDATE recipients SET
    external_id = coalesce(incoming.external_id, recipients.external_id),
    language = coalesce(incoming.language, recipients.language),
    latitude = coalesce(incoming.latitude, recipients.latitude),
    longitude = coalesce(incoming.longitude, recipients.longitude),
    participant = coalesce(incoming.participant, recipients.participant),
    updated_at = now()
FROM incoming
WHERE recipients.msisdn = incoming.msisdn AND NOT incoming.joins AND (
    incoming.external_id <> recipients.external_id
    OR incoming.external_id IS NOT NULL AND recipients.external_id IS NULL
    OR incoming.language IS NOT NULL AND incoming.language IS DISTINCT FROM recipients.language
    OR incoming.latitude IS NOT NULL
       AND (incoming.latitude, incoming.longitude) IS DISTINCT FROM (recipients.latitude, recipients.longitude)
    OR incoming.participant <> recipients.participant
)
RETURNING recipients.id
)
SELECT count(*) FROM (SELECT id FROM written UNION SELECT id FROM moved) AS changed
"""
# An empty cell leaves what stands: a file without languages must not take everybody's language away.

INSERT = """
INSERT INTO recipients (external_id, msisdn, language, latitude, longitude, participant)
SELECT external_id, msisdn, language, latitude, longitude, coalesce(participant, false)
FROM incoming WHERE NOT joins AND NOT EXISTS (SELECT FROM recipients WHERE recipients.msisdn = incoming.msisdn)
ORDER BY line
"""

BAR = "UPDATE recipients SET suppressed = $2, updated_at = now() WHERE msisdn = $1 AND suppressed IS NULL"

JOINED = """
SELECT incoming.line, incoming.msisdn, recipients.id, recipients.suppressed, first.line AS first
FROM incoming JOIN recipients USING (msisdn) LEFT JOIN incoming AS first ON first.msisdn = incoming.msisdn
    AND NOT first.joins
WHERE incoming.joins AND incoming.external_id IS NOT NULL
    AND incoming.external_id IS DISTINCT FROM recipients.external_id
ORDER BY incoming.line
"""

GROUPS = """
INSERT INTO groups (name)
SELECT DISTINCT named.name FROM (SELECT DISTINCT groups FROM incoming WHERE groups <> '') AS listed,
    unnest(string_to_array(listed.groups, '|')) AS named (name)
WHERE NOT EXISTS (SELECT FROM groups WHERE groups.name = named.name) ORDER BY named.name
RETURNING name
"""

FIRST_LINE = """
SELECT min(line) FROM incoming WHERE $1 = ANY (string_to_array(groups, '|'))
"""

WANTED = """
SELECT {distinct} places.id AS group_id, recipients.id AS recipient_id
FROM (
    SELECT listed.groups, groups.id
    FROM (SELECT DISTINCT groups FROM incoming WHERE groups <> '') AS listed,
        unnest(string_to_array(listed.groups, '|')) AS named (name) JOIN groups USING (name)
) AS places JOIN incoming USING (groups) JOIN recipients USING (msisdn)
"""

JOIN = "INSERT INTO group_members (group_id, recipient_id) {wanted} ON CONFLICT DO NOTHING"

LEAVE = """
DELETE FROM group_members USING (
    SELECT recipients.id FROM incoming JOIN recipients USING (msisdn)
    GROUP BY recipients.id HAVING bool_and(groups IS NOT NULL) AND bool_or(groups <> '')
) AS listed
WHERE group_members.recipient_id = listed.id AND NOT EXISTS (
    SELECT FROM ({wanted}) AS wanted
    WHERE wanted.group_id = group_members.group_id AND wanted.recipient_id = group_members.recipient_id
)
"""
# NULL are groups that could not be read: whoever has them keeps what stands, as with an empty cell.


BY_GROUP = """
WITH changed AS ({change} RETURNING group_id)
SELECT name, count(*) FROM changed JOIN groups ON groups.id = changed.group_id GROUP BY name ORDER BY name
"""

SUPPRESSED = """
SELECT count(*) FROM recipients
WHERE suppressed IS NOT NULL AND EXISTS (SELECT FROM incoming WHERE incoming.msisdn = recipients.msisdn)
"""

WITHOUT_GROUP = """
SELECT count(DISTINCT recipients.id) FROM incoming JOIN recipients USING (msisdn)
WHERE coalesce(incoming.groups, '') = '' AND suppressed IS NULL
    AND NOT EXISTS (SELECT FROM group_members WHERE recipient_id = recipients.id)
"""


@dataclass(slots=True)
class Merged:
    """What a merge did, in rows; `findings` are its own, beside those of the conversion.

    `by_group` is group to counts of `added` and `removed` memberships, if it was asked for; `notes` are of the
    directory.
    """

    inserted: int = 0
    updated: int = 0
    moved: int = 0
    unchanged: int = 0
    joined: int = 0
    refused: int = 0
    suppressed: int = 0
    without_group: int = 0
    new_groups: list[str] = field(default_factory=list)
    memberships_added: int = 0
    memberships_removed: int = 0
    by_group: dict[str, dict[str, int]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def stage(connection: Connection) -> None:
    """Make the table that COPY fills, gone at the end of the transaction, and keep other writers out."""
    await connection.execute(SETTINGS)
    await connection.execute(STAGE)


async def merge(
    connection: Connection,
    merged: Merged,
    *,
    barred: Sequence[tuple[str, str]] = (),
    replace_groups: bool,
    by_group: bool,
    step: Callable[[str], None],
) -> None:
    """Merge the table `incoming` into the directory, and count in `merged`. Keys are the external id, else the number.

    `barred` are number and reason of people who want no messages: they are suppressed.

    Memberships are added; with `replace_groups`, everybody to whom the file gives groups is afterwards in these only.
    """
    step("checking")
    await connection.execute(LOCK)
    await connection.execute("ANALYZE incoming")
    for line, external_id, first in await connection.fetch(CONTRADICTIONS):
        reason = f"has another number in line {first}: give each person one number"
        merged.findings.append(Finding(line, "external_id", mask(external_id), False, reason))
    merged.moved, findings = await move_numbers(connection)
    merged.findings += findings
    merged.refused = len(merged.findings)
    await connection.execute(REPEATED)
    await connection.execute(OTHERS)
    step("writing recipients")
    listed = await connection.fetchval("SELECT count(*) FROM incoming WHERE NOT joins")
    merged.updated = await connection.fetchval(UPDATE)
    merged.inserted = _count(await connection.execute(INSERT))
    merged.unchanged = listed - merged.updated - merged.inserted
    await connection.executemany(BAR, barred)
    await connection.execute("ANALYZE recipients")
    for line, msisdn, recipient_id, suppressed, first in await connection.fetch(JOINED):
        merged.joined += 1
        # A recipient of this file may be new, and does not exist after a dry run.
        holder = f"recipient {recipient_id}" if first is None else f"the recipient in line {first}"
        reason = f"is the number of {holder} already: who joins that recipient's groups"
        if suppressed is not None:
            reason += f", and gets nothing, because that recipient is suppressed ({suppressed})"
        merged.findings.append(Finding(line, "msisdn", mask(msisdn), True, reason))
    step("writing groups")
    known = [row[0] for row in await connection.fetch("SELECT name FROM groups")]
    merged.new_groups = [row[0] for row in await connection.fetch(GROUPS)]
    await _point_out_look_alikes(connection, merged, known)
    await _point_out_mixed_alphabets(connection, merged)
    join = JOIN.format(wanted=WANTED.format(distinct=""))
    leave = LEAVE.format(wanted=WANTED.format(distinct=""))
    merged.memberships_added = await _change(connection, join, "added", merged, by_group=by_group)
    if replace_groups:
        merged.memberships_removed = await _change(connection, leave, "removed", merged, by_group=by_group)
    await connection.execute("ANALYZE groups, group_members")
    merged.suppressed = await connection.fetchval(SUPPRESSED)
    merged.without_group = await connection.fetchval(WITHOUT_GROUP)


async def _change(connection: Connection, change: str, word: str, merged: Merged, *, by_group: bool) -> int:
    """Change memberships, and return how many; with `by_group` each group's are counted."""
    if not by_group:
        return _count(await connection.execute(change))
    counts = {row[0]: row[1] for row in await connection.fetch(BY_GROUP.format(change=change))}
    for name, count in counts.items():
        merged.by_group.setdefault(name, {"added": 0, "removed": 0})[word] = count
    return sum(counts.values())


async def _point_out_look_alikes(connection: Connection, merged: Merged, known: list[str]) -> None:
    """Report every new group that looks like another, and say which known ones look alike."""
    new = set(merged.new_groups)
    for alike in look_alikes([*known, *merged.new_groups]):
        shown = " and ".join(map(show_name, alike))
        if new.isdisjoint(alike):
            merged.notes.append(f"groups {shown} look alike: `broadcast groups merge` makes one of them")
            continue
        for name in new.intersection(alike):
            line = await connection.fetchval(FIRST_LINE, name)
            others = " and ".join(show_name(each) for each in alike if each != name)
            reason = f"make a new group that looks like {others}: an alert to one of them does not reach the other"
            merged.findings.append(Finding(line, "groups", mask(name), True, reason))
        merged.notes.append(f"groups {shown} look alike, and one of them is new: correct the file, or merge them")


async def _point_out_mixed_alphabets(connection: Connection, merged: Merged) -> None:
    """Report every new group of which a word has letters of two alphabets: they may look like another's."""
    for name in merged.new_groups:
        alphabets = " and ".join(mixed_alphabets(name))
        if alphabets:
            line = await connection.fetchval(FIRST_LINE, name)
            reason = f"make a new group {show_name(name)} that mixes {alphabets} letters in one word: correct the file"
            merged.findings.append(Finding(line, "groups", mask(name), True, reason))
            merged.notes.append(f"group {show_name(name)} is new and mixes {alphabets} letters in one word")


def _count(tag: str) -> int:
    """How many rows a command touched, from its tag."""
    return int(tag.rsplit(" ", 1)[1])
