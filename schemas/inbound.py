"""A message from a phone, on `inbound.v1`."""

import msgspec


class Inbound(msgspec.Struct, omit_defaults=True):
    """One mobile-originated message; key: the route. `at` is milliseconds since the epoch."""

    route: str
    account: str
    source: str
    destination: str
    text: str
    at: int
