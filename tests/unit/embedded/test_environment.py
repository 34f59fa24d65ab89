"""A shell that has read `stack.env` keeps its addresses after the stop; they are no servers of somebody else."""

import stat
from pathlib import Path

from broadcast.embedded.environment import OWN_FILE, without_own, write_variables

OWN = {"BROADCAST_DATABASE_URL": "postgresql://b:a=b@h:1/b", "BROADCAST_ROUTES_FILE": "/data/routes.toml"}


def test_what_a_stack_made_itself_is_left_out_and_what_anybody_else_set_stays(tmp_path: Path) -> None:
    write_variables(tmp_path / OWN_FILE, OWN)
    others = {"BROADCAST_KAFKA_BOOTSTRAP": "kafka:9092", "BROADCAST_ROUTES_FILE": "/etc/routes.toml"}
    shell = OWN | others
    assert without_own(shell, tmp_path) == others
    assert without_own(OWN | {"BROADCAST_DATABASE_URL": "postgresql://other"}, tmp_path) == {
        "BROADCAST_DATABASE_URL": "postgresql://other"
    }


def test_a_stack_elsewhere_such_as_a_demo_knows_them_by_the_data_directory_of_the_shell(tmp_path: Path) -> None:
    write_variables(tmp_path / OWN_FILE, OWN)
    directory = {"BROADCAST_DATA_DIR": str(tmp_path)}
    assert without_own(OWN | directory, tmp_path / "demo") == directory


def test_without_a_stack_before_nothing_is_left_out(tmp_path: Path) -> None:
    assert without_own(OWN, tmp_path) == OWN


def test_the_file_is_private(tmp_path: Path) -> None:
    write_variables(tmp_path / OWN_FILE, OWN)
    assert stat.S_IMODE((tmp_path / OWN_FILE).stat().st_mode) == 0o600
