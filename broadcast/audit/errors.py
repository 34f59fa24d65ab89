"""Errors of the audit."""

from typing import Final
from uuid import UUID

from broadcast.errors import InputError


class UnknownAlertError(InputError):
    """No alert has this id here."""

    def __init__(self, alert_id: UUID) -> None:
        super().__init__(f"alert {alert_id} is not known; list the alerts with `broadcast alert list`")


class StaleError(Exception):
    """What the recorder remembers is not what PostgreSQL holds: read it again, then do the batch again."""


class RefusedError(Exception):
    """PostgreSQL refuses a batch for a record in it: read again from the end of the evidence, in smaller batches."""


class AmbiguousError(Exception):
    """Several attempts fit one receipt: the whole transaction must be done again with `exact`."""


ODD_VALUES: Final[tuple[type[Exception], ...]] = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a value raises that nobody but a recorder should have written: a fault of the row, not of the reader."""
