"""The columns of a CSV of recipients: which cell of a row is what, by the names in its header."""

from collections.abc import Sequence
from dataclasses import dataclass

from broadcast.errors import InputError

ALIASES: dict[str, tuple[str, ...]] = {
    "external_id": ("external_id", "externalid", "id", "person_id", "reference"),
    "msisdn": ("msisdn", "phone", "phone_number", "number", "mobile", "telephone"),
    "language": ("language", "lang", "locale"),
    "groups": ("groups", "group"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon", "lng", "long"),
    "participant": ("participant", "exercise"),
}
"""What a column may be called; case, spaces, hyphens and underscores make no difference."""

FIELD_OF_NAME = {name.replace("_", ""): field for field, names in ALIASES.items() for name in names}


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each field stands in a row, counted from 0; None: the file does not have it."""

    width: int
    msisdn: int
    external_id: int | None = None
    language: int | None = None
    groups: int | None = None
    latitude: int | None = None
    longitude: int | None = None
    participant: int | None = None
    unknown: tuple[str, ...] = ()


def read_header(header: Sequence[str]) -> Columns:
    """The columns that a header names; unknown ones are kept by name, to be reported.

    Raises InputError when two columns name one field, or none names the phone number.
    """
    places: dict[str, int] = {}
    unknown = []
    for place, title in enumerate(header):
        field = FIELD_OF_NAME.get("".join(title.split()).replace("_", "").replace("-", "").lower())
        if field is None:
            unknown.append(title)
        elif field in places:
            raise InputError(f"columns {header[places[field]]!r} and {title!r} both name {field}: keep one of them")
        else:
            places[field] = place
    if "msisdn" not in places:
        wanted = ", ".join(ALIASES["msisdn"])
        raise InputError(f"header {', '.join(header)!r} names no phone number: call that column one of {wanted}")
    return Columns(width=len(header), unknown=tuple(unknown), **places)
