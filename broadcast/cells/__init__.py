"""What people write in cells: numbers, names, ids, coordinates, languages, headers (docs/reference/cells.md). Pure.

Whatever a function here accepts has one reading only; what has none or several is refused, with the reason.
"""

from broadcast.cells.digits import NumberError
from broadcast.cells.names import look_of, read_name
from broadcast.cells.numbers import (
    AmbiguousNumberError,
    Form,
    check_region,
    country_prefix,
    normalise,
    readings,
)

__all__ = [
    "AmbiguousNumberError",
    "Form",
    "NumberError",
    "check_region",
    "country_prefix",
    "look_of",
    "normalise",
    "read_name",
    "readings",
]
