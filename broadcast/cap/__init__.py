"""CAP 1.2 (OASIS 2010-07-01) in and out, its rules, and what recipients read of an alert. Pure."""

from broadcast.cap.areas import AreaTable, groups_of_areas, read_area_table
from broadcast.cap.findings import CapError, Finding, Level, NotCap12Error
from broadcast.cap.lane import lane_of
from broadcast.cap.reading import read_cap
from broadcast.cap.rendering import RenderingError, choose, choose_all, languages_of, render
from broadcast.cap.targets import TargetError, groups_of
from broadcast.cap.validation import GEOMETRY_UNITS, UnfinishedError, require_valid, validate, warn_of_future
from broadcast.cap.writing import MEDIA_TYPE, freshen, reissue, write_cap

__all__ = [
    "GEOMETRY_UNITS",
    "MEDIA_TYPE",
    "AreaTable",
    "CapError",
    "Finding",
    "Level",
    "NotCap12Error",
    "RenderingError",
    "TargetError",
    "UnfinishedError",
    "choose",
    "choose_all",
    "freshen",
    "groups_of",
    "groups_of_areas",
    "lane_of",
    "languages_of",
    "read_area_table",
    "read_cap",
    "reissue",
    "render",
    "require_valid",
    "validate",
    "warn_of_future",
    "write_cap",
]
