"""A message from a phone, on `inbound.v1`."""

from typing import Annotated

import msgspec

from schemas.bounds import Milliseconds, Name


class Inbound(msgspec.Struct, omit_defaults=True):
    """One mobile-originated message; key: the route. `at` is milliseconds since the epoch."""

    route: Name
    account: Name
    source: Name
    destination: Name
    text: Annotated[str, msgspec.Meta(max_length=65_536)]
    at: Milliseconds
