"""Settings of every process, from `BROADCAST_*`; routes come from a TOML file (see `broadcast.routing`)."""

import socket
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from broadcast.errors import SettingsError
from broadcast.network.addresses import check_brokers, check_http, check_postgres

DAY_SECONDS = 86_400

HASH_KEY_BYTES = range(16, 65)
"""BLAKE2b takes 64; fewer than 16 can be guessed, and then the numbers behind the hashes too."""

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
        max_length=100,
        description="Name of this replica within its stage; each replica needs its own. Default: the host's name.",
    )

    kafka_bootstrap: str = Field(
        default="127.0.0.1:9092",
        min_length=1,
        max_length=4096,
        description="Addresses of brokers as `host:port`, separated by commas.",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="Encryption and login on the way to Kafka."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How to log in with user and password (SASL protocols only)."
    )
    kafka_username: str | None = Field(
        default=None, min_length=1, max_length=255, description="User at Kafka (SASL protocols only)."
    )
    kafka_password: SecretStr | None = Field(
        default=None, min_length=1, max_length=1024, description="Password of that user."
    )
    kafka_ca_file: Path | None = Field(default=None, description="CA of the brokers' certificates; else the system's.")
    kafka_cert_file: Path | None = Field(default=None, description="Certificate of this client, for mutual TLS.")
    kafka_key_file: Path | None = Field(default=None, description="Private key of that certificate.")
    topic_prefix: str = Field(
        default="broadcast.",
        pattern=r"^[A-Za-z0-9._-]*$",
        max_length=100,
        description="Beginning of every topic's name: letters, digits, `.`, `_`, `-`.",
    )
    replication_factor: int = Field(default=1, ge=1, le=100, description="Replicas of new topics; 3 on a cluster.")
    min_insync_replicas: int = Field(
        default=1, ge=1, le=100, description="Replicas that must have a write of a new topic; 2 on a cluster."
    )
    expansion_partitions: int = Field(default=4, ge=1, le=1000, description="Partitions of new expansion topics.")
    status_partitions: int = Field(default=4, ge=1, le=1000, description="Partitions of a new topic of statuses.")
    receipt_partitions: int = Field(default=4, ge=1, le=1000, description="Partitions of a new topic of receipts.")

    session_timeout_seconds: float = Field(
        default=10.0,
        ge=1,
        le=1800,
        description="Without a heartbeat for so long, a member leaves its group. A lease is half of it.",
    )
    heartbeat_interval_seconds: float = Field(
        default=1.0, ge=0.1, le=600, description="Time between two heartbeats; at most a third of the session timeout."
    )
    transaction_timeout_seconds: float = Field(
        default=5.0,
        ge=1,
        le=60,
        description="Kafka aborts a transaction that is open for longer; at most its `transaction.max.timeout.ms`.",
    )

    database_url: SecretStr = Field(
        default=SecretStr("postgresql://broadcast@127.0.0.1:5432/broadcast"),
        min_length=1,
        max_length=4096,
        description="Address of PostgreSQL, with user, password and database.",
    )
    database_pool_size: int = Field(
        default=4, ge=1, le=1000, description="Most connections of one process to PostgreSQL."
    )

    areas_file: Path | None = Field(
        default=None, description="CSV table of areas and their groups, for alerts published with `by_area=true`."
    )
    routes_file: Path | None = Field(default=None, description="TOML file of routes; the stages need it.")
    default_region: str | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description="ISO 3166 region of numbers without a country code, such as DE.",
    )

    rehearsal: bool = Field(
        default=False,
        description="Whether the planner sends Actual alerts by simulated accounts too: they reach no phone, and are "
        "shown as SIMULATED. Otherwise they are refused.",
    )
    default_expiry_seconds: int = Field(
        default=6 * 3600, ge=1, le=7 * DAY_SECONDS, description="Life of an alert without `expires`."
    )
    longest_expiry_seconds: int = Field(
        default=DAY_SECONDS,
        ge=1,
        le=7 * DAY_SECONDS,
        description="Longest life of an alert; topics keep their records for a day more.",
    )
    receipt_deadline_seconds: int = Field(
        default=3600,
        ge=1,
        le=30 * DAY_SECONDS,
        description="A message without a receipt for so long is shown as overdue.",
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

    sender_route: str | None = Field(
        default=None, min_length=1, max_length=40, description="The only route of this sender; if not set, all routes."
    )
    in_doubt_limit: int = Field(
        default=2_000, ge=1, le=1_000_000, description="Most messages that may be sent twice when a sender is killed."
    )
    control_megabytes: int = Field(
        default=64,
        ge=1,
        le=100_000,
        description="Most memory, in MiB, of the alerts and stops that the sender of one route knows.",
    )
    beat_seconds: float = Field(
        default=0.03, ge=0.001, le=60, description="Shortest time between two beats of a busy sender."
    )
    idle_beat_seconds: float = Field(
        default=1.0, ge=0.01, le=60, description="Time between two beats of a sender without jobs."
    )
    number_hash_key: SecretStr | None = Field(
        default=None,
        description="Key of the hash that stands for a number, 16 to 64 bytes; expander and sender need it.",
    )

    api_host: str = Field(
        default="127.0.0.1", min_length=1, max_length=255, description="Address on which the API listens."
    )
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
        default=None,
        min_length=1,
        max_length=2048,
        description="Address of the API for the commands; if not set, made from host and port.",
    )
    api_key: SecretStr | None = Field(
        default=None, min_length=1, max_length=1024, description="API key of the commands."
    )
    api_ca_file: Path | None = Field(default=None, description="CA of the API's certificate, for the commands.")
    api_tls_cert_file: Path | None = Field(default=None, description="Certificate of the API; if not set, plain HTTP.")
    api_tls_key_file: Path | None = Field(default=None, description="Private key of that certificate.")
    metrics_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        max_length=255,
        description="Address on which a stage serves its metrics and health.",
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

    @field_validator("number_hash_key", "kafka_password", "api_key")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().strip():
            raise ValueError("is blank; give a random value, or unset it")
        return value

    @field_validator("number_hash_key")
    @classmethod
    def _check_hash_key(cls, value: SecretStr | None) -> SecretStr | None:
        size = len(value.get_secret_value().encode()) if value is not None else None
        if size is not None and size not in HASH_KEY_BYTES:
            raise ValueError(
                f"has {size} bytes; give {HASH_KEY_BYTES.start} to {HASH_KEY_BYTES.stop - 1} random ones, such as"
                " those of `openssl rand -hex 32`"
            )
        return value

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
