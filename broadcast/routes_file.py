"""The routes file on disk, as the settings name it."""

from pathlib import Path

from broadcast.errors import SettingsError
from broadcast.routing import Route, read_routes
from broadcast.settings import Settings, read_environment


def load_routes(settings: Settings) -> tuple[Route, ...]:
    """The routes of `BROADCAST_ROUTES_FILE`; its `env:NAME` are read from the environment or the secrets.

    Raises SettingsError (RoutesError for what the file says) with the field, its value and the next step.
    """
    path = settings.routes_file
    if path is None:
        raise SettingsError("BROADCAST_ROUTES_FILE is not set; name the TOML file of routes (examples/routes.toml)")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"BROADCAST_ROUTES_FILE = {path}: {error.strerror}; name a readable file") from None
    return read_routes(text, read_environment())
