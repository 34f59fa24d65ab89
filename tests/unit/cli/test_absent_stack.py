"""What a command says where nothing answers: how to start it, by whoever was to run it."""

import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from broadcast.api.client import open_client
from broadcast.database.connection import no_database, open_connection
from broadcast.errors import SettingsError, UnavailableError
from broadcast.settings import STACK_FILE, Settings, load_settings

NOBODY = "postgresql://tocsin@127.0.0.1:9/tocsin"


@pytest.mark.parametrize("left_over", [False, True], ids=["stopped", "killed"])
async def test_without_an_address_of_ones_own_the_next_step_is_broadcast_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_over: bool
) -> None:
    for name in ("BROADCAST_DATABASE_URL", "BROADCAST_SECRETS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BROADCAST_DATA_DIR", str(tmp_path))
    if left_over:
        (tmp_path / STACK_FILE).write_text(f"BROADCAST_DATABASE_URL={NOBODY}\n")
        with pytest.raises(UnavailableError, match="broadcast up"):
            async with open_connection(load_settings()):
                pass
    told = str(no_database(OSError("refused"), load_settings()))
    assert told.startswith(f"nothing runs in the data directory {tmp_path} (refused): start it with `broadcast up`")


def test_an_address_that_somebody_has_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROADCAST_DATABASE_URL", NOBODY)
    settings = Settings(data_dir=tmp_path, database_url=SecretStr(NOBODY))
    assert str(no_database(OSError("refused"), settings)).startswith("BROADCAST_DATABASE_URL leads to no database")


def test_a_database_that_is_frozen_is_not_told_as_absent(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url=SecretStr(NOBODY))
    told = str(no_database(TimeoutError(), settings))
    assert told.startswith("PostgreSQL (BROADCAST_DATABASE_URL) does not answer within 5 s: it is frozen or overloaded")
    assert "()" not in told
    assert "(ConnectionResetError)" in str(no_database(ConnectionResetError(), settings))


async def test_a_listener_that_says_nothing_is_told_as_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broadcast.database.pool.CONNECT_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://tocsin@127.0.0.1:{silent.getsockname()[1]}/tocsin?sslmode=disable"
        with pytest.raises(UnavailableError, match="it is frozen or overloaded"):
            async with open_connection(Settings(data_dir=tmp_path, database_url=SecretStr(url))):
                pass


def test_an_api_that_does_not_answer_in_time_is_told_as_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broadcast.api.client.TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = Settings(data_dir=tmp_path, api_url=url, api_key=SecretStr("tocsin_x.y"))
        with open_client(settings) as client, pytest.raises(UnavailableError, match=r"does not answer within 0\.2 s"):
            client.get("/v1/alerts")


def test_a_call_of_the_api_without_a_key_and_a_stack_says_that_nothing_runs(tmp_path: Path) -> None:
    """`broadcast up` has stopped, and its addresses are gone with it."""
    with pytest.raises(UnavailableError) as told, open_client(Settings(data_dir=tmp_path)):
        pass
    assert str(told.value).startswith(f"nothing runs in the data directory {tmp_path}: start it with `broadcast up`")
    assert "BROADCAST_API_URL and BROADCAST_API_KEY" in str(told.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("BROADCAST_API_URL", "http://127.0.0.1:9"), ("BROADCAST_API_PORT", "9"), ("BROADCAST_DATABASE_URL", NOBODY)],
)
def test_an_api_that_somebody_has_named_lacks_its_key_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match="BROADCAST_API_KEY is not set"), open_client(Settings(data_dir=tmp_path)):
        pass


def test_the_api_of_a_stack_that_was_killed_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROADCAST_DATA_DIR", str(tmp_path))
    for name in ("BROADCAST_API_URL", "BROADCAST_API_KEY", "BROADCAST_SECRETS_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / STACK_FILE).write_text("BROADCAST_API_URL=http://127.0.0.1:9\nBROADCAST_API_KEY=tocsin_x.y\n")
    with (
        open_client(load_settings()) as client,
        pytest.raises(UnavailableError, match=f"nothing runs in the data directory {tmp_path}"),
    ):
        client.get("/v1/alerts")
