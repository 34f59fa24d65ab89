"""What a command says where nothing answers: how to start it, by whoever was to run it."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from broadcast.database.connection import no_database, open_connection
from broadcast.errors import UnavailableError
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
