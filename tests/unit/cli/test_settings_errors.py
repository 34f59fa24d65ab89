"""A wrong setting is one message that names the variable and its value, in every process; a secret is not shown."""

import pytest
from pydantic import SecretStr

from broadcast.api.client import open_client
from broadcast.errors import SettingsError
from broadcast.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("BROADCAST_API_PORT", "abc", "BROADCAST_API_PORT = 'abc': Input should be a valid integer"),
        ("BROADCAST_CHUNK_SIZE", "0", "BROADCAST_CHUNK_SIZE = '0': Input should be greater than or equal to 1"),
        ("BROADCAST_NUMBER_HASH_KEY", "", "BROADCAST_NUMBER_HASH_KEY = (not shown): "),
        ("BROADCAST_LOG_LEVEL", "loud", "BROADCAST_LOG_LEVEL = 'LOUD': Input should be 'DEBUG'"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value).startswith(message)


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
    assert Settings(number_hash_key="k").require_number_key() == b"k"
