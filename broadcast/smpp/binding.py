"""How one session comes to be: TCP, TLS, bind and its response (SMPP 3.4, 2.2, 4.1)."""

import asyncio
import ssl
from collections.abc import Callable, Hashable
from typing import Final, TypeVar

from broadcast.smpp.account import BindConfig
from broadcast.smpp.codec.bind import SIMULATOR_SYSTEM_ID, BindRequest, encode_bind, parse_bind_response
from broadcast.smpp.codec.command_status import BIND_REFUSED, ROK, RUNKNOWNERR, explain_status
from broadcast.smpp.codec.errors import SmppError
from broadcast.smpp.codec.pdu import BINDS, RESPONSE, Pdu, SequenceCounter
from broadcast.smpp.errors import BindError, LinkLostError
from broadcast.smpp.listener import Listener
from broadcast.smpp.rates.pacing import Pacing
from broadcast.smpp.session import Session

T = TypeVar("T")


async def connect(
    config: BindConfig,
    listener: Listener[T],
    *,
    clock: Callable[[], float] | None = None,
    account_pacing: Pacing | None = None,
    sequences: SequenceCounter | None = None,
    number_of: Callable[[T], Hashable] | None = None,
) -> Session[T]:
    """Connect, bind, and return the bound session; `on_room` is called before it returns.

    BindError when the SMSC cannot be reached in `connect_timeout_seconds`, does not answer the bind in
    `session_init_seconds`, refuses it, or is a simulator that is not allowed. `clock` is monotonic seconds, by default
    the loop's. `number_of` gives the destination of a submit by its token: without it RMSGQFUL never slows the bind.
    """
    loop = asyncio.get_running_loop()
    session = Session(
        config,
        listener,
        clock=clock or loop.time,
        account_pacing=account_pacing,
        sequences=sequences,
        number_of=number_of,
    )
    where = f"{config.host}:{config.port}"
    try:
        await _open(loop, session)
    except ssl.SSLError as error:
        raise BindError(f"TLS with {where} failed: {error}; check {_tls_field(error)}", retryable=True) from error
    except UnicodeError as error:
        raise BindError(f"host {config.host!r} is not a host name ({error}); correct it", retryable=False) from error
    except (OSError, TimeoutError) as error:
        raise BindError(f"no connection to {where}: {error or 'timed out'}", retryable=True) from error
    try:
        async with asyncio.timeout(config.session_init_seconds):
            response = await session.request(config.mode.value, _bind_body(config))
        status = _status_of(response)
        if status != ROK:
            raise BindError(
                f"{where} refused the bind of {config.system_id}: {explain_status(status)}",
                retryable=status not in BIND_REFUSED,
                command_status=status,
            )
        smsc = parse_bind_response(response.body).system_id
        if smsc == SIMULATOR_SYSTEM_ID and not config.simulator_allowed:
            raise BindError(
                f"{where} is the SMSC simulator of Tocsin, which reaches no phone, and the account is not declared "
                "simulated; correct host and port, or write `simulated = true` for it in the routes file",
                retryable=False,
            )
        session.start(smsc)
    except BindError:
        session.abort()
        raise
    except TimeoutError as error:
        session.abort()
        unanswered = f"{where} did not answer the bind within {config.session_init_seconds:g} s"
        raise BindError(unanswered, retryable=True) from error
    except LinkLostError as error:
        session.abort()
        raise BindError(f"{where} ended the connection before the bind was over: {error}", retryable=True) from error
    except SmppError as error:
        session.abort()
        raise BindError(f"{where} answered the bind with what cannot be read: {error}", retryable=True) from error
    except asyncio.CancelledError:
        session.abort()
        raise
    return session


async def _open(loop: asyncio.AbstractEventLoop, session: Session[T]) -> None:
    config = session.config
    tls = None if config.tls is None else config.tls.make_context()
    server_name = None if config.tls is None else config.tls.server_name
    async with asyncio.timeout(config.connect_timeout_seconds):
        await loop.create_connection(lambda: session, config.host, config.port, ssl=tls, server_hostname=server_name)


def _bind_body(config: BindConfig) -> bytes:
    return encode_bind(
        BindRequest(
            config.system_id.encode(),
            config.password.encode(),
            config.system_type.encode(),
            config.interface_version,
            config.addr_ton,
            config.addr_npi,
            config.address_range.encode(),
        )
    )


def _status_of(response: Pdu) -> int:
    """The status of the answer to a bind; a generic_nack of status 0 is no acceptance (4.3)."""
    if response.command & ~RESPONSE in BINDS:
        return response.status
    return response.status or RUNKNOWNERR


HOSTNAME_MISMATCH: Final = 62
IP_ADDRESS_MISMATCH: Final = 64
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL: the certificate has another name."""


def _tls_field(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in (HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH):
            return "tls.server_name: the certificate is for another name"
        return "tls.ca_file"
    return "whether the port is one for TLS, and tls.certificate_file"
