"""Addresses of servers in settings: their form is checked before anything connects, and errors hide their logins."""

import re
from typing import Final
from urllib.parse import urlsplit

HIGHEST_PORT: Final = 65_535
_BROKER: Final = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:,\[\]/@]+):([0-9]{1,5})")
_SECRET: Final = re.compile(r"((?:password|passwd|pwd|secret|token|api_?key)[\"']?\s*[=:]\s*)[^\s&;,]+", re.IGNORECASE)
HIDDEN: Final = "[hidden]"


def hide_login(value: str) -> str:
    """A configured value as an error may quote it: without what stands before an @, and without named passwords."""
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "", value
    login, at, rest = rest.rpartition("@")
    return _SECRET.sub(rf"\1{HIDDEN}", f"{scheme}{separator}{HIDDEN if at else login}{at}{rest}")


def check_brokers(text: str) -> str:
    """Addresses of brokers, `host:port` each, separated by commas. ValueError names the one that is not."""
    for address in text.split(","):
        found = _BROKER.fullmatch(address.strip())
        if found is None or not 1 <= int(found[1]) <= HIGHEST_PORT:
            raise ValueError(f"{hide_login(address.strip())!r} is not host:port; write it as kafka-1.example.net:9092")
    return text


def check_http(url: str | None) -> str | None:
    """An address of HTTP or HTTPS. ValueError says what is missing."""
    if url is not None:
        _check(url, ("http", "https"), "https://alerts.example.net:8080")
    return url


def check_postgres(url: str) -> str:
    """An address of PostgreSQL as a URL. ValueError says what is missing, without the password."""
    _check(url, ("postgresql", "postgres"), "postgresql://user:password@db.example.net:5432/broadcast")
    return url


def _check(url: str, schemes: tuple[str, ...], example: str) -> None:
    try:
        parts = urlsplit(url)
        # A list of hosts, as libpq takes it, has no single port.
        port = parts.port if "," not in parts.netloc else None
    except ValueError:
        raise ValueError(f"host or port cannot be read; write it as {example}") from None
    if parts.scheme not in schemes:
        raise ValueError(f"does not begin with {schemes[0]}://; write it as {example}")
    if port == 0 or any(letter.isspace() for letter in url):
        raise ValueError(f"has port 0 or white space; write it as {example}")
    if parts.scheme in ("http", "https") and not parts.hostname:
        raise ValueError(f"names no host; write it as {example}")
