"""The routes file on disk, as the settings name it, with the files that it names."""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from broadcast.errors import SettingsError
from broadcast.routing import NO_PLACES, Fault, Places, Reading, Route, Tls, check_routes, make_error
from broadcast.settings import Settings, read_environment


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A routes file as it was found: its routes, or none and everything that is wrong."""

    path: Path
    routes: tuple[Route, ...]
    faults: tuple[Fault, ...]
    places: Places
    """Finds the lines of its fields."""


def load_routes(settings: Settings, *, with_secrets: bool = False) -> tuple[Route, ...]:
    """The routes of `BROADCAST_ROUTES_FILE`.

    `with_secrets` for a process that binds: passwords written `env:NAME` are read from the environment or the
    directory of secrets, and certificates and keys must be there. Raises SettingsError (RoutesError for what the file
    says) with the line, the field, its value and the next step.
    """
    return load_file(settings, with_secrets=with_secrets).routes


def load_file(settings: Settings, *, with_secrets: bool = False) -> CheckedFile:
    """The routes file and the lines of its fields; arguments and errors are those of `load_routes`."""
    path = settings.routes_file
    if path is None:
        raise SettingsError("BROADCAST_ROUTES_FILE is not set; name the TOML file of routes (examples/routes.toml)")
    if path.is_fifo():
        raise SettingsError(f"BROADCAST_ROUTES_FILE = {path}: is a named pipe, which cannot be read again; name a file")
    try:
        environment = read_environment() if with_secrets else {}
        checked = check_file(path, settings, environment, with_secrets=with_secrets)
    except OSError as error:
        raise SettingsError(f"BROADCAST_ROUTES_FILE = {path}: {error.strerror}; name a readable file") from None
    if checked.faults:
        raise make_error(checked.faults, str(path))
    return checked


def check_file(
    path: Path, settings: Settings, environment: Mapping[str, str], *, with_secrets: bool = True
) -> CheckedFile:
    """Everything that is wrong in the routes file at `path`; OSError when the file cannot be read.

    `settings` say how long a message and a retry may be. Without `with_secrets` no password and no file of TLS is
    looked up.
    """
    octets = path.read_bytes()
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        rule = f"has the octet 0x{octets[error.start]:02X}, which is not UTF-8"
        fault = Fault(line, "", "", "", rule, "save the file as UTF-8")
        return CheckedFile(path, (), (fault,), NO_PLACES)
    directory = path.absolute().parent
    reading = _from_directory(check_routes(text, environment, with_passwords=with_secrets), directory)
    found = [*reading.faults, *_check_limits(reading, settings)]
    if with_secrets:
        found += _check_tls_files(reading, directory)
    faults = tuple(sorted(found, key=lambda fault: fault.line))
    return CheckedFile(path, () if faults else reading.routes, faults, reading.places)


def _from_directory(reading: Reading, directory: Path) -> Reading:
    """With the files of TLS as seen from the routes file: each process has a working directory of its own."""
    routes = []
    for route in reading.routes:
        accounts = tuple(
            account if account.tls is None else account.model_copy(update={"tls": _resolve(account.tls, directory)})
            for account in route.accounts
        )
        routes.append(route.model_copy(update={"accounts": accounts}))
    return replace(reading, routes=tuple(routes))


def _resolve(tls: Tls, directory: Path) -> Tls:
    files = {"ca_file": tls.ca_file, "certificate_file": tls.certificate_file, "key_file": tls.key_file}
    return tls.model_copy(update={field: directory / path for field, path in files.items() if path is not None})


def _check_limits(reading: Reading, settings: Settings) -> Iterator[Fault]:
    for number, route in enumerate(reading.routes):
        for position, delay in enumerate(route.delays_seconds):
            if delay >= settings.longest_expiry_seconds:
                yield reading.places.fault(
                    ("routes", number, "delays_seconds", position),
                    f"is not shorter than BROADCAST_LONGEST_EXPIRY_SECONDS = {settings.longest_expiry_seconds}",
                    "lower it: the alert has expired before the retry",
                )
    for path, account in reading.accounts():
        if account.window < settings.highest_segments:
            yield reading.places.fault(
                (*path, "window"),
                f"has no room for a message of BROADCAST_HIGHEST_SEGMENTS = {settings.highest_segments} segments",
                "raise it, or lower BROADCAST_HIGHEST_SEGMENTS",
            )


def _check_tls_files(reading: Reading, directory: Path) -> Iterator[Fault]:
    """What is wrong with the files of every account, also where something else of the routes file is wrong."""
    for path, content in reading.written_accounts():
        try:
            tls = Tls.model_validate(content["tls"]) if "tls" in content else None
        except ValidationError:
            # The reading tells what is wrong with the table itself.
            continue
        for field, rule, step in _check_tls(_resolve(tls, directory)) if tls else ():
            yield reading.places.fault((*path, "tls", field), rule, step)


def _check_tls(tls: Tls) -> Sequence[tuple[str, str, str]]:
    """What is wrong with the files of an account: field, rule and step."""
    files = {"ca_file": tls.ca_file, "certificate_file": tls.certificate_file, "key_file": tls.key_file}
    unreadable = [
        (field, f"cannot be read: {reason}", "name a file that this process may read")
        for field, path in files.items()
        if path is not None and (reason := _why_unreadable(path))
    ]
    if unreadable:
        return unreadable
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca_file is not None:
        try:
            context.load_verify_locations(tls.ca_file)
        except ssl.SSLError:
            return [("ca_file", "has no certificate in PEM form", "name the certificate of the carrier's CA, in PEM")]
    if tls.certificate_file is None:
        return []
    field, key = ("key_file", tls.key_file) if tls.key_file else ("certificate_file", tls.certificate_file)
    if b"ENCRYPTED" in key.read_bytes():
        return [(field, "has a key with a passphrase", "remove it: openssl pkey -in KEY -out NEW_KEY")]
    try:
        context.load_cert_chain(tls.certificate_file, tls.key_file)
    except ssl.SSLError:
        return [(field, "has no key that fits the certificate, in PEM form", "name certificate and key of one pair")]
    return []


def _why_unreadable(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            return "is no file"
        path.read_bytes()
    except OSError as error:
        return error.strerror or str(error)
    except ValueError:
        return "has a character that no path has"
    return ""
