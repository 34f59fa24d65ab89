"""What an account may say and is seldom meant: shown by `broadcast routes check`, and no fault. Pure."""

from collections.abc import Iterator

from broadcast.routing.fields import STANDARD_PASSWORD_LIMIT, Validity
from broadcast.routing.routes import Route
from broadcast.routing.smsc_account import Account


def find_remarks(route: Route, account: Account) -> Iterator[str]:
    """What a person should look at again, in words."""
    password = account.password.get_secret_value() if account.password else ""
    if len(password) > STANDARD_PASSWORD_LIMIT:
        yield (
            f"the password has {len(password)} characters, SMPP 3.4 allows {STANDARD_PASSWORD_LIMIT}; if the SMSC "
            "refuses the bind with ESME_RINVPASWD, ask for a shorter one"
        )
    if route.live and account.tls is None:
        yield "plain TCP: password, numbers and texts can be read on the way; ask the carrier for TLS or a tunnel"
    if route.live and account.rate_per_second is None:
        yield "no rate_per_second: the SMSC will throttle; write what the contract allows"
    if account.validity is Validity.OFF:
        yield "no validity period: a phone that is switched on days later may get an alert that is over"
    if account.replace_if_present:
        yield "replace_if_present: a new alert replaces another one that the SMSC still holds for the phone"
    if not account.receipts:
        yield "no receipts: nobody learns whether a phone got its message"
