"""A wrong setting is one message that names the variable and its value, in every process; a secret is not shown."""

import pytest

from broadcast.errors import SettingsError
from broadcast.settings import load_settings


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("BROADCAST_API_PORT", "abc", "BROADCAST_API_PORT = 'abc': Input should be a valid integer"),
        ("BROADCAST_LOG_LEVEL", "loud", "BROADCAST_LOG_LEVEL = 'LOUD': Input should be 'DEBUG'"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value).startswith(message)


def test_a_level_may_be_written_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROADCAST_LOG_LEVEL", "info")
    assert load_settings().log_level == "INFO"
