"""`broadcast routes check`: every fault with its line, or the routes; and the files that the routes file names."""

import json
import os
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from broadcast.cli import topics
from broadcast.cli.routes import command
from broadcast.errors import SettingsError
from broadcast.routes_file import check_file, load_routes
from broadcast.routing import RoutesError
from broadcast.settings import Settings

ROOT = Path(__file__).parents[3]
CERTIFICATE, KEY = (ROOT / "tests/contract/smpp" / name for name in ("localhost.pem", "localhost.key.pem"))

TEXT = """\
[[routes]]
name = "de"
prefixes = ["+49"]
[[routes.accounts]]
name = "a"
host = "127.0.0.1"
port = 2775
system_id = "x"
"""


def check(path: Path, text: str | bytes, *options: str) -> Result:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return CliRunner().invoke(command, ["check", str(path), *options])


def test_all_faults_are_printed_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    result = check(path, TEXT.replace("2775", "0") + "window = 0\npassword = 'env:NO_SUCH_VARIABLE'\n")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"{path}:7: route 'de', account 'a': port = 0: must be at least 1; raise it",
        f"{path}:9: route 'de', account 'a': window = 0: must be at least 1; raise it",
        f"{path}:10: route 'de', account 'a': password: names the variable NO_SUCH_VARIABLE, which is not set; set it",
    ]


def test_a_good_file_is_summed_up_with_remarks(tmp_path: Path) -> None:
    text = TEXT.replace('["+49"]', '["+49"]\nlive = true') + "password = 'longer-than-8'\nsource_addr = '112'\n"
    result = check(tmp_path / "routes.toml", text)
    assert result.exit_code == 0
    assert "route de (live) for +49: tried again after 5, 30, 120 s" in result.stdout
    assert "x at 127.0.0.1 port 2775, plain TCP, 1 x window 64, no limit of ours, weight 1, sender 112" in result.stdout
    assert "the password has 13 characters, SMPP 3.4 allows 8" in result.stdout
    assert "ask the carrier for TLS" in result.stdout
    assert "one account only and no fallback_route" in result.stdout
    assert "longer-than-8" not in result.stdout


def test_json_holds_faults_or_routes_and_no_password(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    good = json.loads(check(path, TEXT + "password = 'longer-than-8'\n", "--json").stdout)
    assert (good["faults"], good["routes"][0]["accounts"][0]["system_id"]) == ([], "x")
    assert "longer-than-8" not in json.dumps(good)
    result = check(path, TEXT + "window = 0\n", "--json")
    (fault,) = json.loads(result.stdout)["faults"]
    assert (result.exit_code, fault["line"], fault["field"], fault["value"]) == (1, 9, "window", "0")


def test_the_examples_are_good_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMSC_PASSWORD", "secret")
    for name in ("examples/routes.toml", "ops/routes.example.toml"):
        result = CliRunner().invoke(command, ["check", str(ROOT / name)])
        assert result.exit_code == 0, result.stderr


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    result = check(tmp_path / "r.toml", TEXT.encode() + "# für\n".encode("latin-1"))
    assert "r.toml:9: has the octet 0xFC, which is not UTF-8; save the file as UTF-8" in result.stderr


def test_a_file_of_an_editor_that_marks_utf8_is_taken(tmp_path: Path) -> None:
    assert check(tmp_path / "r.toml", b"\xef\xbb\xbf" + TEXT.encode()).exit_code == 0


@pytest.mark.parametrize(
    ("tls", "message"),
    [
        ("ca_file = 'no.pem'", "tls.ca_file = 'no.pem': cannot be read: No such file or directory; name a file that"),
        ("ca_file = '.'", "tls.ca_file = '.': cannot be read: is no file; name a file that this process may"),
        ("ca_file = '/dev/zero'", "tls.ca_file = '/dev/zero': cannot be read: is no file; name a file that this"),
        ('ca_file = "a\\u0000b"', "cannot be read: has a character that no path has; name a file that this process"),
        (f"ca_file = '{'x' * 5_000}'", "cannot be read: File name too long; name a file that this process may read"),
        ("certificate_file = 'no.pem'\nkey_file = 'k.pem'", "tls.key_file = 'k.pem': cannot be read: No such file"),
        (f"ca_file = '{KEY}'", "has no certificate in PEM form; name the certificate of the carrier's CA"),
        (f"certificate_file = '{CERTIFICATE}'", "has no key that fits the certificate, in PEM form; name certificate"),
        (f"certificate_file = '{KEY}'\nkey_file = '{KEY}'", "has no key that fits the certificate, in PEM form"),
        (f"certificate_file = '{CERTIFICATE}'\nkey_file = 'encrypted.pem'", "has a key with a passphrase; remove it"),
    ],
)
def test_a_certificate_or_key_that_cannot_work_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "encrypted.pem").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    result = check(tmp_path / "r.toml", f"{TEXT}[routes.accounts.tls]\n{tls}\n")
    assert message in result.stderr
    with pytest.raises(RoutesError, match=r"r\.toml:\d+: route 'de', account 'a': tls\."):
        load_routes(Settings(routes_file=tmp_path / "r.toml"), with_secrets=True)
    # A stage without binds need not have the files.
    assert load_routes(Settings(routes_file=tmp_path / "r.toml"))


def test_files_of_tls_are_looked_at_also_beside_other_faults(tmp_path: Path) -> None:
    tls = "[routes.accounts.tls]\nca_file = 'no.pem'\ncertificate_file = 'no.crt'\n"
    path = tmp_path / "r.toml"
    assert check(path, TEXT.replace("2775", "0") + tls).stderr.splitlines() == [
        f"{path}:7: route 'de', account 'a': port = 0: must be at least 1; raise it",
        f"{path}:10: route 'de', account 'a': tls.ca_file = 'no.pem': cannot be read: No such file or directory; "
        "name a file that this process may read",
        f"{path}:11: route 'de', account 'a': tls.certificate_file = 'no.crt': cannot be read: No such file or "
        "directory; name a file that this process may read",
    ]


def test_who_needs_only_names_needs_no_password(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(TEXT + "password = 'env:NO_SUCH_VARIABLE'\n")
    [route] = load_routes(Settings(routes_file=path))
    assert [account.name for account in route.accounts] == ["a"]
    with pytest.raises(RoutesError, match="names the variable NO_SUCH_VARIABLE, which is not set"):
        load_routes(Settings(routes_file=path), with_secrets=True)


def test_the_topics_are_listed_without_the_passwords_of_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.toml"
    path.write_text(TEXT + "password = 'env:NO_SUCH_VARIABLE'\n")
    monkeypatch.setenv("BROADCAST_ROUTES_FILE", str(path))
    result = CliRunner().invoke(topics.command, ["list"])
    assert result.exit_code == 0, result.output
    assert "broadcast.jobs.de.routine" in result.stdout


def test_files_that_fit_are_taken(tmp_path: Path) -> None:
    text = f"{TEXT}tls = {{ ca_file = '{CERTIFICATE}', certificate_file = '{CERTIFICATE}', key_file = '{KEY}' }}\n"
    assert check(tmp_path / "r.toml", text).exit_code == 0


def test_a_window_and_a_delay_that_settings_make_useless_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROADCAST_LONGEST_EXPIRY_SECONDS", "3600")
    monkeypatch.setenv("BROADCAST_DEFAULT_EXPIRY_SECONDS", "3600")
    text = TEXT.replace('["+49"]', '["+49"]\ndelays_seconds = [5,\n3600]') + "window = 5\n"
    assert check(tmp_path / "r.toml", text).stderr.splitlines() == [
        f"{tmp_path}/r.toml:5: route 'de': delays_seconds[1] = 3600: is not shorter than "
        "BROADCAST_LONGEST_EXPIRY_SECONDS = 3600; lower it: the alert has expired before the retry",
        f"{tmp_path}/r.toml:11: route 'de', account 'a': window = 5: has no room for a message of "
        "BROADCAST_HIGHEST_SEGMENTS = 6 segments; raise it, or lower BROADCAST_HIGHEST_SEGMENTS",
    ]


FIELDS = st.sampled_from(["ca_file", "certificate_file", "key_file", "server_name", "password", "host"])
VALUES = st.text().map(json.dumps) | st.sampled_from(
    ["''", "'/'", "'/dev/null'", "'env:HOME'", "1", f"'{CERTIFICATE}'"]
)


@given(st.lists(st.tuples(FIELDS, VALUES).map(" = ".join)), st.booleans(), st.binary(max_size=3))
def test_a_file_with_any_names_of_files_is_taken_or_has_faults(lines: list[str], in_tls: bool, end: bytes) -> None:
    text = "\n".join([TEXT, "[routes.accounts.tls]" if in_tls else "", *lines, "# "])
    with NamedTemporaryFile(suffix=".toml") as file:
        file.write(text.encode("utf-8", "replace") + end)
        file.flush()
        checked = check_file(Path(file.name), Settings(), {"HOME": "x"})
    assert bool(checked.routes) is not bool(checked.faults)


def test_a_routes_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"none\.toml: No such file or directory; name a readable file"):
        CliRunner().invoke(command, ["check", str(tmp_path / "none.toml")], catch_exceptions=False)


def test_a_named_pipe_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """Reading it would wait for a writer, and the sender with it."""
    os.mkfifo(tmp_path / "r.toml")
    with pytest.raises(SettingsError, match=r"r\.toml: is a named pipe"):
        load_routes(Settings(routes_file=tmp_path / "r.toml"))


def test_files_of_tls_are_looked_for_from_the_directory_of_the_routes_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "ca.pem").write_bytes(Path(CERTIFICATE).read_bytes())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    routes = tmp_path / "r.toml"
    assert check(routes, f"{TEXT}[routes.accounts.tls]\nca_file = 'tls/ca.pem'\n").exit_code == 0
    [route] = check_file(routes, Settings(), {}).routes
    tls = route.accounts[0].tls
    assert tls is not None
    assert tls.ca_file == tmp_path / "tls" / "ca.pem"
