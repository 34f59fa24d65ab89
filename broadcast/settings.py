"""Settings of every process, from `BROADCAST_*`; routes come from a TOML file (see `broadcast.routing`)."""

import os
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from broadcast.errors import SettingsError

DAY_SECONDS = 86_400


class Settings(BaseSettings):
    """One process's settings. Every field is `BROADCAST_` and its name in upper case."""

    model_config = SettingsConfigDict(env_prefix="BROADCAST_", extra="ignore", frozen=True)

    data_dir: Path = Path("data")
    slot: str = Field(default_factory=socket.gethostname, description="this replica's place in its group")

    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None
    kafka_ca_file: Path | None = None
    kafka_cert_file: Path | None = None
    kafka_key_file: Path | None = None
    topic_prefix: str = "broadcast."
    replication_factor: int = 1
    min_insync_replicas: int = 1
    expansion_partitions: int = 4
    status_partitions: int = 4
    receipt_partitions: int = 4

    session_timeout_seconds: float = 10.0
    heartbeat_interval_seconds: float = 1.0
    transaction_timeout_seconds: float = 5.0

    database_url: SecretStr = SecretStr("postgresql://broadcast@127.0.0.1:5432/broadcast")
    database_pool_size: int = 4

    routes_file: Path | None = None
    default_region: str | None = Field(default=None, description="ISO 3166 region for numbers without a country code")

    default_expiry_seconds: int = 6 * 3600
    longest_expiry_seconds: int = DAY_SECONDS
    receipt_deadline_seconds: int = 3600
    chunk_size: int = 5_000
    highest_segments: int = 6

    sender_route: str | None = Field(default=None, description="the only route of this sender; all routes if not set")
    in_doubt_limit: int = 2_000
    beat_seconds: float = 0.03
    idle_beat_seconds: float = 1.0
    number_hash_key: SecretStr = SecretStr("")

    api_host: str = "127.0.0.1"
    api_port: int = 8080
    api_url: str | None = None
    api_key: SecretStr | None = None
    api_ca_file: Path | None = Field(default=None, description="CA of the API's certificate, for the commands")
    api_tls_cert_file: Path | None = None
    api_tls_key_file: Path | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0

    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(lambda v: str(v).upper())] = (
        "INFO"
    )
    log_format: Literal["json", "console"] = "json"


STACK_FILE = "stack.env"
"""Where `broadcast up` leaves its addresses and key, in its data directory, for the commands of another terminal."""


SECRETS_DIR = "BROADCAST_SECRETS_DIR"
"""The variable that names a directory of secrets: each file is named like the variable it stands for, in lower case."""


def load_settings(**overrides: object) -> Settings:
    """This process's settings; first wins: overrides, `BROADCAST_*`, what a running `broadcast up` left, secrets."""
    data_dir = Path(str(overrides.get("data_dir") or os.environ.get("BROADCAST_DATA_DIR", "data")))
    secrets_dir = os.environ.get(SECRETS_DIR)
    try:
        return Settings(_env_file=data_dir / STACK_FILE, _secrets_dir=secrets_dir, **overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError("; ".join(_describe(fault) for fault in error.errors())) from None


def _describe(fault: ErrorDetails) -> str:
    name = str(fault["loc"][0]) if fault["loc"] else ""
    secret = name in Settings.model_fields and "Secret" in str(Settings.model_fields[name].annotation)
    value = "(not shown)" if secret else repr(fault["input"])
    return f"BROADCAST_{name.upper()} = {value}: {fault['msg']}"


def read_environment() -> dict[str, str]:
    """The environment, with what is only in the directory of secrets added under its name in upper case."""
    secrets_dir = os.environ.get(SECRETS_DIR)
    files = [path for path in Path(secrets_dir).iterdir() if path.is_file()] if secrets_dir else []
    return {path.name.upper(): path.read_text(encoding="utf-8").strip() for path in files} | dict(os.environ)
