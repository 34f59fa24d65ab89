"""Target groups by the areas of an alert: a table of geocodes and area names. Pure."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from broadcast.cap.targets import TargetError
from broadcast.cells.names import read_name
from broadcast.errors import InputError
from schemas.alert import Alert, Area

COLUMNS = ("name", "value", "group")
GROUP_LENGTH_MAX = 255


@dataclass(frozen=True)
class AreaTable:
    """Groups by (name, value): the valueName and value of a geocode, or `areaDesc` and the description of an area."""

    groups: Mapping[tuple[str, str], tuple[str, ...]]

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of geocodes that the table knows."""
        return frozenset(name for name, _ in self.groups)


def read_area_table(text: str) -> AreaTable:
    """The table of a CSV text with the columns `name`, `value` and `group`; InputError names the line that is wrong.

    A row gives one group; several rows may have the same name and value. Case and white space do not count in both.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    separator = ";" if lines and ";" in lines[0] else ","
    rows = csv.reader(lines, delimiter=separator)
    header = tuple(_key(title) for title in next(rows, []))
    if header != COLUMNS:
        raise InputError(f"line 1: the columns are {', '.join(header) or '(none)'}; they must be {', '.join(COLUMNS)}")
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        name, value, group = (read_name(cell) for cell in row) if len(row) == len(COLUMNS) else ("", "", "")
        if not (name and value and group) or '"' in group or len(group) > GROUP_LENGTH_MAX:
            raise InputError(
                f"line {rows.line_num}: must hold a name, a value and a group of at most {GROUP_LENGTH_MAX} characters"
                " without quotation marks"
            )
        found.setdefault((name.casefold(), value.casefold()), []).append(group)
    return AreaTable({key: tuple(dict.fromkeys(groups)) for key, groups in found.items()})


def groups_of_areas(alert: Alert, places: Sequence[int], table: AreaTable) -> tuple[str, ...]:
    """The groups of all areas of the infos at `places`.

    Raises TargetError for an area that the table does not hold. Every geocode whose name the table knows must be in it;
    where there is none, the description of the area must be.
    All infos must be for the same groups: one text may hold several of them.
    """
    found: list[tuple[str, ...]] = []
    for place in places:
        areas = alert.info[place].area
        if not areas:
            raise _refused(f"info[{place}].area", "is absent, so no group can be found by area")
        each = (_groups_of(area, f"info[{place}].area[{number}]", table) for number, area in enumerate(areas))
        found.append(tuple(dict.fromkeys(group for groups in each for group in groups)))
        if set(found[-1]) != set(found[0]):
            raise _refused(
                f"info[{place}].area",
                "is for other groups than the areas of the first info in force; publish an alert for each",
            )
    return found[0] if found else ()


def _groups_of(area: Area, path: str, table: AreaTable) -> Iterable[str]:
    known = [code for code in area.geocode if _key(code.value_name) in table.names]
    pairs = [(code.value_name, code.value) for code in known] or [("areaDesc", area.area_desc)]
    for name, value in pairs:
        groups = table.groups.get((_key(name), _key(value)))
        if groups is None:
            raise _refused(path, f"{name} {value[:80]!r} is in no line of the table of areas; add it, or name groups")
        yield from groups


def _key(text: str) -> str:
    return read_name(text).casefold()


def _refused(path: str, message: str) -> TargetError:
    return TargetError(f"{path}: {message} [areas]", ((path, "areas", message),))
