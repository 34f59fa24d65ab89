"""TLS of the clients, with errors that name the setting."""

import ssl
from pathlib import Path

from broadcast.errors import SettingsError


def make_client_context(
    settings: str, ca_file: Path | None, cert_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """A context that verifies chain and host name; SettingsError where a file is not what its setting says.

    `settings` is the beginning of their names, as `BROADCAST_KAFKA` for `BROADCAST_KAFKA_CA_FILE`. Without a CA file
    the system's CAs are used. The key may stand in the certificate's file.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SettingsError(f"{settings}_CA_FILE = {ca_file}: {reason_of(error)}; name a PEM file of CAs") from None
    if cert_file is not None:
        try:
            context.load_cert_chain(cert_file, key_file)
        except OSError as error:
            raise SettingsError(
                f"{settings}_CERT_FILE = {cert_file}, {settings}_KEY_FILE = {key_file}: {reason_of(error)}; name the"
                " PEM files of a certificate and its key"
            ) from None
    elif key_file is not None:
        raise SettingsError(
            f"{settings}_KEY_FILE = {key_file}: goes with {settings}_CERT_FILE, which is not set; set it"
        )
    return context


def reason_of(error: OSError) -> str:
    """Why a file of TLS cannot be used, for people."""
    if isinstance(error, ssl.SSLError):
        return f"is no usable PEM ({error.reason or error})"
    return error.strerror or str(error)
