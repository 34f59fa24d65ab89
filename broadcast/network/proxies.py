"""Proxies that the environment names (HTTPS_PROXY and its like), and where none may be used."""

import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx

from broadcast.errors import SettingsError
from broadcast.network.addresses import hide_login

VARIABLES: Final = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def goes_direct(url: httpx.URL) -> bool:
    """Whether an address is on this machine, so that no proxy leads to it."""
    host = url.host.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def hides_requests(url: httpx.URL) -> bool:
    """Whether a proxy on the way to an address cannot read requests, because it only passes on TLS."""
    return url.scheme == "https"


@contextmanager
def explain_proxies() -> Iterator[None]:
    """Around the making of a client that follows the environment: SettingsError names the variable that is wrong."""
    try:
        yield
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        # httpx names the value at best, and asks to install a package for SOCKS.
        reason = "SOCKS is not supported" if isinstance(error, ImportError) else hide_login(str(error))
        given = [f"{name} = {hide_login(os.environ[name])!r}" for name in _set_variables()]
        raise SettingsError(
            f"a proxy cannot be used ({reason}): {', '.join(given)}; write http://HOST:PORT, and names of hosts in "
            "no_proxy, or unset it"
        ) from None


def _set_variables() -> list[str]:
    return [name for each in VARIABLES for name in (each, each.upper()) if os.environ.get(name)]
