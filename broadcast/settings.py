"""Settings of every process, from `BROADCAST_*`; routes come from a TOML file (see `broadcast.routing`)."""

import os
import socket
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from broadcast.errors import SettingsError
from broadcast.network.addresses import check_brokers, check_http, check_postgres, hide_login
from schemas.wording import explain

DAY_SECONDS = 86_400

BOUNDED_BY = (
    ("heartbeat_interval_seconds", 1 / 3, "session_timeout_seconds"),
    ("beat_seconds", 1 / 4, "session_timeout_seconds"),
    ("idle_beat_seconds", 1 / 4, "session_timeout_seconds"),
    ("default_expiry_seconds", 1, "longest_expiry_seconds"),
)
"""Settings that may be at most this share of another. A lease is half a session timeout, and a beat renews it."""


class Settings(BaseSettings):
    """One process's settings. Every field is `BROADCAST_` and its name in upper case."""

    model_config = SettingsConfigDict(env_prefix="BROADCAST_", extra="ignore", frozen=True, allow_inf_nan=False)

    data_dir: Path = Field(default=Path("data"), description="Directory of `broadcast up`; commands find it by this.")
    slot: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        description="Name of this replica within its stage; each replica needs its own. Default: the host's name.",
    )

    kafka_bootstrap: str = Field(
        default="127.0.0.1:9092", min_length=1, description="Addresses of brokers as `host:port`, separated by commas."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="Encryption and login on the way to Kafka."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How to log in with user and password (SASL protocols only)."
    )
    kafka_username: str | None = Field(default=None, description="User at Kafka (SASL protocols only).")
    kafka_password: SecretStr | None = Field(default=None, description="Password of that user.")
    kafka_ca_file: Path | None = Field(default=None, description="CA of the brokers' certificates; else the system's.")
    kafka_cert_file: Path | None = Field(default=None, description="Certificate of this client, for mutual TLS.")
    kafka_key_file: Path | None = Field(default=None, description="Private key of that certificate.")
    topic_prefix: str = Field(default="broadcast.", description="Beginning of every topic's name.")
    replication_factor: int = Field(default=1, ge=1, le=100, description="Replicas of new topics; 3 on a cluster.")
    min_insync_replicas: int = Field(
        default=1, ge=1, le=100, description="Replicas that must have a write of a new topic; 2 on a cluster."
    )
    expansion_partitions: int = Field(default=4, ge=1, le=1000, description="Partitions of new expansion topics.")
    status_partitions: int = Field(default=4, ge=1, le=1000, description="Partitions of a new topic of statuses.")
    receipt_partitions: int = Field(default=4, ge=1, le=1000, description="Partitions of a new topic of receipts.")

    session_timeout_seconds: float = Field(
        default=10.0,
        gt=0,
        description="Without a heartbeat for so long, a member leaves its group. A lease is half of it.",
    )
    heartbeat_interval_seconds: float = Field(
        default=1.0, gt=0, description="Time between two heartbeats; at most a third of the session timeout."
    )
    transaction_timeout_seconds: float = Field(
        default=5.0, gt=0, description="Kafka aborts a transaction that is open for longer."
    )

    database_url: SecretStr = Field(
        default=SecretStr("postgresql://broadcast@127.0.0.1:5432/broadcast"),
        description="Address of PostgreSQL, with user, password and database.",
    )
    database_pool_size: int = Field(
        default=4, ge=1, le=1000, description="Most connections of one process to PostgreSQL."
    )

    routes_file: Path | None = Field(default=None, description="TOML file of routes; the stages need it.")
    default_region: str | None = Field(
        default=None, description="ISO 3166 region of numbers without a country code, such as DE."
    )

    rehearsal: bool = Field(
        default=False,
        description="Whether the planner sends Actual alerts by simulated accounts too: they reach no phone, and are "
        "shown as SIMULATED. Otherwise they are refused.",
    )
    default_expiry_seconds: int = Field(default=6 * 3600, ge=1, description="Life of an alert without `expires`.")
    longest_expiry_seconds: int = Field(
        default=DAY_SECONDS, ge=1, description="Longest life of an alert; topics keep their records for a day more."
    )
    receipt_deadline_seconds: int = Field(
        default=3600, ge=1, description="A message without a receipt for so long is shown as overdue."
    )
    failed_share_limit: float = Field(
        default=0.2,
        ge=0.01,
        le=1,
        description="Share of submits refused, not sent or reported undelivered above which it is an alarm. Wrong and "
        "old numbers are a few percent.",
    )
    unreached_share_limit: float = Field(
        default=0.4,
        ge=0.01,
        le=1,
        description="Share of messages not delivered, or without a receipt, above which it is an alarm. Phones that "
        "are switched off leave 10 to 15 percent without a receipt.",
    )
    receipt_wait_seconds: float = Field(
        default=40.0,
        ge=1,
        le=45,
        description="A message without a receipt for so long counts as not reached, for that alarm only. "
        "At most 45, so that the alarm comes within a minute.",
    )
    chunk_size: int = Field(default=5_000, ge=1, le=100_000, description="Most recipients in one chunk of an audience.")
    highest_segments: int = Field(
        default=6, ge=1, le=255, description="Most segments of one message; an alert with a longer text is refused."
    )

    sender_route: str | None = Field(default=None, description="The only route of this sender; if not set, all routes.")
    in_doubt_limit: int = Field(
        default=2_000, ge=1, description="Most messages that may be sent twice when a sender is killed."
    )
    control_megabytes: int = Field(
        default=64,
        ge=1,
        le=100_000,
        description="Most memory, in MiB, of the alerts and stops that the sender of one route knows.",
    )
    beat_seconds: float = Field(default=0.03, gt=0, description="Shortest time between two beats of a busy sender.")
    idle_beat_seconds: float = Field(default=1.0, gt=0, description="Time between two beats of a sender without jobs.")
    number_hash_key: SecretStr | None = Field(
        default=None, min_length=1, description="Key of the hash that stands for a number; expander and sender need it."
    )

    api_host: str = Field(default="127.0.0.1", description="Address on which the API listens.")
    api_port: int = Field(default=8080, ge=0, le=65535, description="Port of the API; 0 takes a free one.")
    api_connections: int = Field(
        default=512,
        ge=16,
        le=100_000,
        description="Most connections of the API at once; file descriptors bound it too.",
    )
    api_connections_per_address: int = Field(
        default=256, ge=8, le=100_000, description="Most connections of one address; raise it behind a proxy."
    )
    api_url: str | None = Field(
        default=None, description="Address of the API for the commands; if not set, made from host and port."
    )
    api_key: SecretStr | None = Field(default=None, description="API key of the commands.")
    api_ca_file: Path | None = Field(default=None, description="CA of the API's certificate, for the commands.")
    api_tls_cert_file: Path | None = Field(default=None, description="Certificate of the API; if not set, plain HTTP.")
    api_tls_key_file: Path | None = Field(default=None, description="Private key of that certificate.")
    metrics_host: str = Field(
        default="127.0.0.1", description="Address on which a stage serves its metrics and health."
    )
    metrics_port: int = Field(default=0, ge=0, le=65535, description="Port of metrics and health; 0 takes a free one.")

    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(lambda v: str(v).upper())] = (
        Field(default="INFO", description="The least important lines that are logged.")
    )
    log_format: Literal["json", "console"] = Field(default="json", description="JSON lines, or lines for people.")

    @field_validator("kafka_bootstrap")
    @classmethod
    def _check_brokers(cls, value: str) -> str:
        return check_brokers(value)

    @field_validator("api_url")
    @classmethod
    def _check_api_url(cls, value: str | None) -> str | None:
        return check_http(value)

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr) -> SecretStr:
        check_postgres(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        for name, share, other in BOUNDED_BY:
            value, limit = getattr(self, name), getattr(self, other)
            if value > limit * share:
                raise ValueError(
                    f"BROADCAST_{name.upper()} = {value}: must be at most {limit * share:g}, which follows from "
                    f"BROADCAST_{other.upper()} = {limit}; lower the one, or raise the other"
                )
        return self

    def require_number_key(self) -> bytes:
        """The key of the hash that stands for a number; raises SettingsError if it is not set."""
        if self.number_hash_key is None:
            raise SettingsError(
                "BROADCAST_NUMBER_HASH_KEY is not set; give expander and sender one long random value, and keep it"
            )
        return self.number_hash_key.get_secret_value().encode()


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
