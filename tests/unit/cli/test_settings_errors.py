"""A wrong setting is one message that names the variable and its value, in every process; a secret is not shown."""

from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from broadcast.api.client import open_client
from broadcast.errors import SettingsError
from broadcast.health import Health
from broadcast.health.http_server import serve
from broadcast.kafka.clients import make_consumer
from broadcast.settings import STACK_FILE, Settings, load_settings, read_environment


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("BROADCAST_API_PORT", "abc", "BROADCAST_API_PORT = 'abc': must be a whole number"),
        ("BROADCAST_CHUNK_SIZE", "0", "BROADCAST_CHUNK_SIZE = '0': must be at least 1; raise it"),
        ("BROADCAST_NUMBER_HASH_KEY", "", "BROADCAST_NUMBER_HASH_KEY = (not shown): is blank"),
        ("BROADCAST_NUMBER_HASH_KEY", " " * 20, "BROADCAST_NUMBER_HASH_KEY = (not shown): is blank"),
        ("BROADCAST_NUMBER_HASH_KEY", "s3cret", "BROADCAST_NUMBER_HASH_KEY = (not shown): has 6 bytes; give 16 to 64"),
        ("BROADCAST_NUMBER_HASH_KEY", "s3cret" * 11, "BROADCAST_NUMBER_HASH_KEY = (not shown): has 66 bytes"),
        ("BROADCAST_NUMBER_HASH_KEY", "ü" * 33, "BROADCAST_NUMBER_HASH_KEY = (not shown): has 66 bytes"),
        ("BROADCAST_KAFKA_PASSWORD", "", "BROADCAST_KAFKA_PASSWORD = (not shown): "),
        ("BROADCAST_KAFKA_PASSWORD", "  ", "BROADCAST_KAFKA_PASSWORD = (not shown): is blank"),
        ("BROADCAST_API_KEY", "", "BROADCAST_API_KEY = (not shown): "),
        ("BROADCAST_DATABASE_URL", "", "BROADCAST_DATABASE_URL = (not shown): "),
        ("BROADCAST_TOPIC_PREFIX", "a b", "BROADCAST_TOPIC_PREFIX = 'a b': "),
        ("BROADCAST_IN_DOUBT_LIMIT", "-5", "BROADCAST_IN_DOUBT_LIMIT = '-5': must be at least 1"),
        ("BROADCAST_STATUS_PARTITIONS", "0", "BROADCAST_STATUS_PARTITIONS = '0': must be at least 1"),
        ("BROADCAST_API_PORT", "99999", "BROADCAST_API_PORT = '99999': must be at most 65535"),
        ("BROADCAST_BEAT_SECONDS", "1e9", "BROADCAST_BEAT_SECONDS = '1e9': must be at most 60"),
        ("BROADCAST_LOG_LEVEL", "loud", "BROADCAST_LOG_LEVEL = 'LOUD': must be 'DEBUG'"),
        ("BROADCAST_KAFKA_BOOTSTRAP", ":::", "BROADCAST_KAFKA_BOOTSTRAP = ':::': ':::' is not host:port"),
        ("BROADCAST_KAFKA_BOOTSTRAP", "a:9092,b", "BROADCAST_KAFKA_BOOTSTRAP = 'a:9092,b': 'b' is not host:port"),
        ("BROADCAST_KAFKA_BOOTSTRAP", "a:0", "BROADCAST_KAFKA_BOOTSTRAP = 'a:0': 'a:0' is not host:port"),
        (
            "BROADCAST_KAFKA_BOOTSTRAP",
            "a:9092,user:s3cret@b:9092",
            "BROADCAST_KAFKA_BOOTSTRAP = '[hidden]@b:9092': '[hidden]@b:9092' is not host:port",
        ),
        ("BROADCAST_API_URL", "http://u:s3cret@h:0", "BROADCAST_API_URL = 'http://[hidden]@h:0': has port 0"),
        ("BROADCAST_API_URL", "h?token=s3cret", "BROADCAST_API_URL = 'h?token=[hidden]': does not begin with"),
        ("BROADCAST_API_URL", "nonsense", "BROADCAST_API_URL = 'nonsense': does not begin with http://"),
        ("BROADCAST_API_URL", "http://[::1", "BROADCAST_API_URL = 'http://[::1': host or port cannot be read"),
        ("BROADCAST_API_URL", "http://a:port", "BROADCAST_API_URL = 'http://a:port': host or port cannot be read"),
        ("BROADCAST_API_URL", "https://", "BROADCAST_API_URL = 'https://': names no host"),
        ("BROADCAST_DATABASE_URL", "postgresql://x:s3cret@[z/", "BROADCAST_DATABASE_URL = (not shown): host or port"),
        ("BROADCAST_DATABASE_URL", "postgresql://x:s3cret@h:p/z", "BROADCAST_DATABASE_URL = (not shown): host or port"),
        ("BROADCAST_DATABASE_URL", "mysql://x:s3cret@h/z", "BROADCAST_DATABASE_URL = (not shown): does not begin with"),
        ("BROADCAST_DATABASE_URL", "h/z", "BROADCAST_DATABASE_URL = (not shown): does not begin with postgresql://"),
        ("BROADCAST_SECRETS_DIR", "/nowhere", "BROADCAST_SECRETS_DIR = '/nowhere': is no directory"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value).startswith(message)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BROADCAST_KAFKA_BOOTSTRAP", "kafka-1.example.net:9092, [::1]:9093,10.0.0.1:9092"),
        ("BROADCAST_API_URL", "https://[::1]:8443/tocsin"),
        ("BROADCAST_DATABASE_URL", "postgres://a:b%40c@h:5432/d?sslmode=verify-full&application_name=x"),
        ("BROADCAST_DATABASE_URL", "postgresql://a@h1:5432,h2:5433/d?target_session_attrs=read-write"),
        ("BROADCAST_DATABASE_URL", "postgresql:///d?host=/run/postgresql"),
    ],
)
def test_each_form_of_an_address_is_taken(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    load_settings()


def test_a_file_of_settings_that_is_not_utf8_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BROADCAST_DATA_DIR", str(tmp_path))
    (tmp_path / STACK_FILE).write_bytes(b"BROADCAST_API_KEY=\xff\n")
    with pytest.raises(SettingsError, match=r"stack\.env.*is not UTF-8"):
        load_settings()


def test_a_secret_that_is_not_utf8_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BROADCAST_SECRETS_DIR", str(tmp_path))
    (tmp_path / "smsc_password").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="smsc_password, in BROADCAST_SECRETS_DIR"):
        read_environment()


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff"])
def test_a_file_that_is_no_certificate_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"BROADCAST_KAFKA_CA_FILE = .*ca\.pem: .*; name a PEM file of CAs"):
        make_consumer(Settings(kafka_security_protocol="SSL", kafka_ca_file=path))
    with pytest.raises(SettingsError, match=r"BROADCAST_KAFKA_CERT_FILE = .*ca\.pem"):
        make_consumer(Settings(kafka_security_protocol="SSL", kafka_cert_file=path))
    settings = Settings(api_key=SecretStr("k"), api_ca_file=path)
    with pytest.raises(SettingsError, match=r"BROADCAST_API_CA_FILE = .*ca\.pem"), open_client(settings):
        pass


async def test_a_port_of_metrics_that_is_taken_is_named() -> None:
    async with serve(Health("planner"), "127.0.0.1", 0) as port:
        with pytest.raises(SettingsError, match=f"BROADCAST_METRICS_HOST:PORT = 127.0.0.1:{port}: .*choose a free"):
            async with serve(Health("planner"), "127.0.0.1", port):
                pass


@pytest.mark.parametrize(
    ("variable", "value", "other"),
    [
        ("BROADCAST_HEARTBEAT_INTERVAL_SECONDS", "99", "BROADCAST_SESSION_TIMEOUT_SECONDS = 10.0"),
        ("BROADCAST_BEAT_SECONDS", "30", "BROADCAST_SESSION_TIMEOUT_SECONDS = 10.0"),
        ("BROADCAST_IDLE_BEAT_SECONDS", "20", "BROADCAST_SESSION_TIMEOUT_SECONDS = 10.0"),
        ("BROADCAST_DEFAULT_EXPIRY_SECONDS", "90000", "BROADCAST_LONGEST_EXPIRY_SECONDS = 86400"),
    ],
)
def test_settings_that_contradict_one_another_are_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, other: str
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("BROADCAST_KAFKA_PASSWORD", "of-nobody's-business")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value).startswith(f"{variable} = ")
    assert other in str(refused.value)
    assert "nobody" not in str(refused.value)


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_no_time_is_infinite(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("BROADCAST_SESSION_TIMEOUT_SECONDS", value)
    with pytest.raises(SettingsError, match="BROADCAST_SESSION_TIMEOUT_SECONDS"):
        load_settings()


@pytest.mark.parametrize("key", ["secret\nvalue", "secret-ü"])
def test_a_key_that_no_header_can_carry_is_not_shown(key: str) -> None:
    with pytest.raises(SettingsError) as refused, open_client(Settings(api_key=SecretStr(key))):
        pass
    assert str(refused.value).startswith("BROADCAST_API_KEY (not shown)")
    assert "secret" not in str(refused.value)


def test_a_level_may_be_written_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROADCAST_LOG_LEVEL", "info")
    assert load_settings().log_level == "INFO"


def test_a_stage_that_hashes_numbers_refuses_to_run_without_a_key() -> None:
    with pytest.raises(SettingsError, match="BROADCAST_NUMBER_HASH_KEY is not set"):
        Settings().require_number_key()
    assert Settings(number_hash_key="k" * 16).require_number_key() == b"k" * 16


def bounds_of(field: FieldInfo) -> set[str]:
    """Which bounds the metadata of a field holds: `low` and `high`, of its number or of its length."""
    names = {"ge": "low", "gt": "low", "min_length": "low", "le": "high", "lt": "high", "max_length": "high"}
    return {bound for name, bound in names.items() for each in field.metadata if getattr(each, name, None) is not None}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_a_description_and_bounds(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description
    kinds = {field.annotation, *get_args(field.annotation)}
    if kinds & {int, float}:
        assert bounds_of(field) == {"low", "high"}
    if kinds & {str, SecretStr} and name not in {"topic_prefix", "number_hash_key"}:
        assert bounds_of(field) == {"low", "high"}


@pytest.mark.parametrize(
    "name", [name for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)]
)
@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_no_secret_is_empty(name: str, value: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({name: value})
