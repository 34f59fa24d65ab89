"""Where the settings of a process come from: the environment, the file of a running stack, a directory of secrets."""

import os
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from broadcast.errors import SettingsError
from broadcast.network.addresses import hide_login
from broadcast.settings.process_settings import Settings
from schemas.wording import explain

STACK_FILE = "stack.env"
"""Where `broadcast up` leaves its addresses and key, in its data directory, for the commands of another terminal."""


SECRETS_DIR = "BROADCAST_SECRETS_DIR"
"""The variable that names a directory of secrets: each file is named like the variable it stands for, in lower case."""


def is_of_stack(settings: Settings, field: str) -> bool:
    """Whether nobody has set this field, or only `broadcast up` in its data directory has."""
    variable = f"BROADCAST_{field.upper()}"
    left_over = not os.environ.get(variable) and (settings.data_dir / STACK_FILE).exists()
    return left_over or field not in settings.model_fields_set


def load_settings(**overrides: object) -> Settings:
    """The settings of this process; the first of these wins: overrides, `BROADCAST_*`, the stack file, secrets.

    SettingsError names the variable or file that is wrong.
    """
    data_dir = Path(str(overrides.get("data_dir") or os.environ.get("BROADCAST_DATA_DIR", "data")))
    secrets_dir = _find_secrets()
    try:
        return Settings(_env_file=data_dir / STACK_FILE, _secrets_dir=secrets_dir, **overrides)  # type: ignore[arg-type]
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{data_dir / STACK_FILE}, or a file in {SECRETS_DIR} = {secrets_dir}, is not UTF-8 ({error});"
            " write it anew"
        ) from None
    except OSError as error:
        raise SettingsError(f"{error.filename}: {error.strerror}; make it readable for this user") from None
    except ValidationError as error:
        raise SettingsError("; ".join(_describe(fault) for fault in error.errors())) from None


def _describe(fault: ErrorDetails) -> str:
    if not fault["loc"]:  # of several fields together; the input holds all of them, secrets too
        return fault["msg"].removeprefix("Value error, ")
    name = str(fault["loc"][0])
    secret = name in Settings.model_fields and "Secret" in str(Settings.model_fields[name].annotation)
    given = hide_login(fault["input"]) if isinstance(fault["input"], str) else fault["input"]
    value = "(not shown)" if secret else repr(given)
    rule, step = explain(fault) or (fault["msg"].removeprefix("Value error, "), "")
    if fault["type"].endswith("_parsing"):
        # The environment knows no quotation marks.
        step = ""
    return f"BROADCAST_{name.upper()} = {value}: {rule}" + (f"; {step}" if step else "")


def read_environment() -> dict[str, str]:
    """The environment, with what is only in the directory of secrets added under its name in upper case.

    SettingsError where the directory or a file in it cannot be read.
    """
    secrets_dir = _find_secrets()
    found: dict[str, str] = {}
    if secrets_dir is not None:
        for path in secrets_dir.iterdir():
            if path.is_file():
                try:
                    found[path.name.upper()] = path.read_text(encoding="utf-8").strip()
                except (OSError, UnicodeDecodeError) as error:
                    raise SettingsError(f"{path}, in {SECRETS_DIR}: {error}; write it anew, as UTF-8") from None
    return found | dict(os.environ)


def _find_secrets() -> Path | None:
    name = os.environ.get(SECRETS_DIR)
    if not name:
        return None
    if not os.access(name, os.R_OK | os.X_OK) or not Path(name).is_dir():
        raise SettingsError(
            f"{SECRETS_DIR} = {name!r}: is no directory that this user can read; correct it, or unset it"
        )
    return Path(name)
