"""The HTTP client with which the commands call the API."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import httpx

from broadcast.errors import InputError, SettingsError, UnavailableError, UnconfirmedError, name_error
from broadcast.network.addresses import hide_login
from broadcast.network.proxies import explain_proxies, goes_direct, hides_requests
from broadcast.network.tls import make_client_context
from broadcast.settings import STACK_FILE, Settings, is_of_stack

TIMEOUT_SECONDS = 15.0
"""Three times what the API itself waits for Kafka or PostgreSQL."""

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
"""Errors before anything of a request has left."""

UNANSWERED = frozenset({httpx.codes.INTERNAL_SERVER_ERROR, httpx.codes.BAD_GATEWAY, httpx.codes.GATEWAY_TIMEOUT})
"""Answers that do not say whether the request was carried out."""

WHERE = ("api_url", "api_host", "api_port", "database_url")
"""Fields of which a person who runs the stages by other means than `broadcast up` has set one."""


class UnreachableError(UnavailableError):
    """There is no connection to the API: nothing of the request has left."""


def url_of(settings: Settings) -> str:
    """Where the API is: `api_url`, or the address that it listens on by the same settings."""
    if settings.api_url:
        return settings.api_url.rstrip("/")
    host = ANY_ADDRESS.get(settings.api_host, settings.api_host)
    scheme = "https" if settings.api_tls_cert_file else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.api_port}"


@contextmanager
def open_client(settings: Settings) -> Iterator["Client"]:
    """A client with the key of the settings.

    Without a key: UnavailableError if nobody has named an API, so that none can run here, else SettingsError.
    """
    of_stack = all(is_of_stack(settings, field) for field in WHERE)
    if settings.api_key is None and of_stack and not (settings.data_dir / STACK_FILE).exists():
        raise _nothing_runs(settings)
    if settings.api_key is None:
        raise SettingsError(
            "BROADCAST_API_KEY is not set: run the command in the directory of `broadcast up`, which has "
            "data/stack.env, or make a key with `broadcast keys create NAME`"
        )
    key = settings.api_key.get_secret_value()
    if not (key.isascii() and key.isprintable()):
        raise SettingsError("BROADCAST_API_KEY (not shown) has characters that no key has; copy it again, on one line")
    with _make_http(url_of(settings), key, settings) as http:
        yield Client(http, settings if of_stack else None)


def _make_http(url: str, key: str, settings: Settings) -> httpx.Client:
    """A client that shows the key to the API alone: a proxy is used only where it passes on TLS."""
    address = httpx.URL(url)
    # Without TLS no CAs are read, which takes longer than the request.
    verify: ssl.SSLContext | bool = hides_requests(address)
    if settings.api_ca_file:
        verify = make_client_context("BROADCAST_API", settings.api_ca_file)
    direct = goes_direct(address) or not hides_requests(address)
    with explain_proxies():
        return httpx.Client(
            base_url=address,
            headers={"Authorization": f"Bearer {key}"},
            timeout=TIMEOUT_SECONDS,
            verify=verify,
            # With a transport of its own a client does not read the environment's proxies.
            transport=httpx.HTTPTransport(verify=verify) if direct else None,
        )


def _nothing_runs(settings: Settings, error: Exception | None = None) -> UnreachableError:
    why = "" if error is None else f" ({error})"
    return UnreachableError(
        f"nothing runs in the data directory {settings.data_dir}{why}: start it with `broadcast up`, or name the "
        "directory of one that runs in BROADCAST_DATA_DIR; for an API elsewhere set BROADCAST_API_URL and "
        "BROADCAST_API_KEY"
    )


class Reader(Protocol):
    """What reads the API; `Client` is one."""

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """The JSON of a GET."""


class Client:
    """Requests to the API; a problem document becomes an InputError or an UnavailableError with its findings."""

    def __init__(self, http: httpx.Client, of_stack: Settings | None = None) -> None:
        """`of_stack`: settings whose address is that of a stack on this machine, if it is."""
        self._http, self._of_stack = http, of_stack

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """The JSON of a GET; parameters that are None are left out."""
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._ask("GET", path, params=given)

    def post(
        self,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """The JSON of a POST.

        `repeated` is true in it if the same was accepted before, and nothing new was done.
        """
        return self._ask("POST", path, json=json, content=content, headers=headers)

    def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **request)
        except NEVER_SENT as error:
            if self._of_stack is not None and isinstance(error, httpx.ConnectError):
                raise _nothing_runs(self._of_stack, error) from error
            address = hide_login(str(self._http.base_url))
            raise UnreachableError(
                f"the API at {address} cannot be reached ({name_error(error)}); start it, or set BROADCAST_API_URL"
            ) from error
        except httpx.TransportError as error:
            address = hide_login(str(self._http.base_url))
            what = f"does not answer within {TIMEOUT_SECONDS:g} s: it, or what it waits for, is frozen or overloaded"
            if not isinstance(error, httpx.TimeoutException):
                what = f"broke off ({name_error(error)})"
            raise UnconfirmedError(f"the API at {address} {what}; look at its process and log") from error
        if response.is_success:
            body: dict[str, Any] = response.json()
            if response.headers.get("Idempotency-Replayed") == "true":
                body["repeated"] = True
            return body
        raise _error_of(response)


def _error_of(response: httpx.Response) -> InputError | UnavailableError:
    try:
        problem = response.json()
        detail, findings = str(problem["detail"]), problem.get("findings", [])
    except (ValueError, LookupError, TypeError):
        problem, detail, findings = {}, response.text[:300] or response.reason_phrase, []
    if response.status_code in UNANSWERED or problem.get("unconfirmed"):
        return UnconfirmedError(f"{detail} (HTTP {response.status_code})")
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return UnavailableError(detail)
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
        return UnavailableError(f"{detail} (HTTP {response.status_code})")
    told = tuple((finding["field"] or "alert", finding["rule"], finding["message"]) for finding in findings)
    return InputError(f"{detail} (HTTP {response.status_code})", told)
