"""docker-compose.yml against the Compose schema, the stages, the settings and the embedded broker.

`compose-spec.json` is the Compose Specification's own schema (Apache License 2.0), as check-jsonschema 0.39.0 carries
it. What only Docker can tell (images, mounts) is not tested here.
"""

import base64
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from broadcast.cli import COMMANDS
from broadcast.embedded.servers.kafka import PROPERTIES
from broadcast.routing import read_routes
from broadcast.settings import SECRETS_DIR, Settings, load_settings
from broadcast.smsc.command import command as smsc
from broadcast.stages import STAGES, STREAMS

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
COMPOSE = ROOT / "docker-compose.yml"
MONITORING = ROOT / "ops/compose.monitoring.yml"
FIELDS = {f"BROADCAST_{name.upper()}" for name in Settings.model_fields} | {SECRETS_DIR}
ONE_SHOT = ("migrate", "topics")
OWN = (*STAGES, *ONE_SHOT, "smsc")
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")

Service = dict[str, Any]


def read(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text())
    assert isinstance(content, dict)
    return content


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return read(COMPOSE)


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Service]:
    services = compose["services"]
    assert isinstance(services, dict)
    return services


def filled(text: str) -> str:
    """With every variable replaced by its default."""
    return VARIABLE.sub(lambda variable: variable[2] or "", text)


def properties(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if line and not line.startswith("#"))
    return {key: value for key, _, value in pairs}


def kafka_properties(service: Service) -> dict[str, str]:
    """What the image makes of its environment: KAFKA_A_B is a.b (scripts read the heap's size themselves)."""
    return {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in service["environment"].items()
        if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS"
    }


@pytest.mark.parametrize("path", [COMPOSE, MONITORING], ids=lambda path: path.name)
def test_it_is_a_compose_file(path: Path) -> None:
    schema = json.loads((HERE / "compose-spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(read(path))


def test_the_schema_would_find_a_fault(compose: dict[str, Any]) -> None:
    schema = json.loads((HERE / "compose-spec.json").read_text())
    faulty = {**compose, "services": {"api": {**compose["services"]["api"], "stop_grace": "15s"}}}
    with pytest.raises(jsonschema.ValidationError, match="stop_grace"):
        jsonschema.Draft202012Validator(schema).validate(faulty)


def test_every_stage_has_a_service(services: dict[str, Service]) -> None:
    signature = re.compile(r"^async def run\(settings: Settings, health: Health, stop: asyncio\.Event\b", re.MULTILINE)
    stages = {path.stem for path in (ROOT / "streams").glob("*.py") if signature.search(path.read_text())}
    assert stages | {"api"} == {*STREAMS, "api"} == set(STAGES)
    for stage in STAGES:
        assert services[stage]["command"] == ["broadcast", "run", stage]


def test_every_command_exists(services: dict[str, Service]) -> None:
    for name in OWN:
        program, noun, *arguments = services[name]["command"]
        assert program == "broadcast"
        assert noun in COMMANDS
        if noun == "smsc":
            smsc.make_context("smsc", arguments)


def test_every_setting_is_a_field(services: dict[str, Service]) -> None:
    named = {
        name
        for service in services.values()
        for name in service.get("environment", {})
        if name.startswith("BROADCAST_")
    }
    assert {"BROADCAST_KAFKA_BOOTSTRAP", "BROADCAST_ROUTES_FILE"} <= named <= FIELDS
    mentioned = set(re.findall(r"\bBROADCAST_\w+", (ROOT / ".env.example").read_text())) - {"BROADCAST_"}
    assert mentioned <= FIELDS
    assert len(mentioned) > 5


def test_example_settings_are_the_defaults() -> None:
    text = (ROOT / ".env.example").read_text()
    compose = COMPOSE.read_text() + MONITORING.read_text()
    defaults = dict(VARIABLE.findall(compose))
    for name, value in re.findall(r"^#(TOCSIN_\w+)=(.*)$", text, re.MULTILINE):
        assert defaults[name] == value
    for name, value in re.findall(r"^#(BROADCAST_\w+)=(.*)$", text, re.MULTILINE):
        field = Settings.model_fields[name.removeprefix("BROADCAST_").lower()]
        assert name == "BROADCAST_DEFAULT_REGION" or str(field.default) == value


def test_settings_of_a_stage_are_valid_and_reach_the_other_services(
    services: dict[str, Service], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broadcast_database_url").write_text("postgresql://broadcast:secret@postgres:5432/broadcast")
    for name, value in services["sender"]["environment"].items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv(SECRETS_DIR, str(tmp_path))
    settings = load_settings()
    assert settings.kafka_bootstrap.split(":")[0] in services
    assert settings.database_url.get_secret_value().endswith("@postgres:5432/broadcast")
    assert settings.metrics_port == 9100
    targets = [str(volume).split(":")[-2] for volume in services["sender"]["volumes"]]
    assert str(settings.routes_file) in targets


def test_example_routes_lead_to_the_simulator_only(services: dict[str, Service]) -> None:
    text = (ROOT / "ops/routes.example.toml").read_text()
    (route,) = read_routes(text, {"SMSC_PASSWORD": "secret"})
    (account,) = route.accounts
    assert not route.live
    assert account.host in services
    assert str(account.port) in services["smsc"]["command"]
    commented = "\n".join(re.findall(r"^# ?((?:\[\[|\w+ = ).*)$", text, re.MULTILINE))
    live, _ = read_routes(f"{commented}\n{text}", {"SMSC_PASSWORD": "secret"})
    assert live.live
    assert tomllib.loads(commented)["routes"][0]["name"] == "germany"


def test_broker_agrees_with_the_embedded_one(services: dict[str, Service]) -> None:
    deployed = kafka_properties(services["kafka"])
    embedded = properties(PROPERTIES)
    places = {"controller.quorum.voters", "listeners", "advertised.listeners", "log.dirs"}
    sizes = {"num.network.threads", "num.io.threads", "num.recovery.threads.per.data.dir"}
    sizes |= {"log.cleaner.dedupe.buffer.size"}
    must_agree = embedded.keys() - places - sizes
    assert {key: deployed.get(key) for key in must_agree} == {key: embedded[key] for key in must_agree}
    assert deployed.keys() <= embedded.keys()
    identity = base64.urlsafe_b64decode(filled(services["kafka"]["environment"]["CLUSTER_ID"]) + "==")
    assert len(identity) == 16


def test_a_cluster_differs_in_replication_and_security_only(services: dict[str, Service]) -> None:
    single = kafka_properties(services["kafka"])
    cluster = properties((ROOT / "ops/kafka/cluster.example.properties").read_text())
    same = {key for key in single.keys() & cluster.keys() if single[key] == cluster[key]}
    assert {"auto.create.topics.enable", "message.max.bytes", "offsets.retention.minutes"} <= same
    assert cluster["min.insync.replicas"] == "2"


def test_only_the_api_is_published(services: dict[str, Service], compose: dict[str, Any]) -> None:
    assert [name for name, service in services.items() if "ports" in service] == ["api"]
    (port,) = services["api"]["ports"]
    assert filled(port) == "127.0.0.1:8080:8080"
    assert compose["networks"]["inside"] == {"internal": True}
    assert [name for name in services if "outside" in services[name]["networks"]] == ["api", "sender"]


@pytest.mark.parametrize("name", [*STAGES, "smsc", "kafka", "postgres"])
def test_what_stays_restarts_drains_and_says_how_it_is(services: dict[str, Service], name: str) -> None:
    service = services[name]
    assert service["restart"] == "unless-stopped"
    assert int(service["stop_grace_period"].removesuffix("s")) >= 10
    assert service["healthcheck"]["test"]
    if name in STAGES:
        port = service["environment"]["BROADCAST_API_PORT" if name == "api" else "BROADCAST_METRICS_PORT"]
        assert service["healthcheck"]["test"][-1] == f"http://127.0.0.1:{port}/readyz"
        assert service["depends_on"] == {key: {"condition": "service_completed_successfully"} for key in ONE_SHOT}


@pytest.mark.parametrize("name", OWN)
def test_our_containers_have_no_rights_to_spare(services: dict[str, Service], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_one_shot_services_end(services: dict[str, Service]) -> None:
    for name in ONE_SHOT:
        assert services[name]["restart"] == "on-failure"
        assert services[name]["healthcheck"] == {"disable": True}
        assert [part["condition"] for part in services[name]["depends_on"].values()] == ["service_healthy"]


def test_secrets_are_files_that_the_script_makes(compose: dict[str, Any]) -> None:
    script = (ROOT / "ops/secrets.sh").read_text()
    made = set(re.findall(r"^make (\w+)", script, re.MULTILINE))
    secrets = compose["secrets"] | read(MONITORING)["secrets"]
    assert {Path(secret["file"]).name for secret in secrets.values()} == made
    assert {"/.env", "/ops/secrets/"} <= set((ROOT / ".gitignore").read_text().splitlines())
    assert not re.search(r"(?i)password\s*[:=]\s*(?!.*(/run/secrets|secrets/))\S", COMPOSE.read_text())


@pytest.mark.parametrize("name", [*STAGES, *ONE_SHOT])
def test_certificates_are_a_directory_that_every_stage_reads_and_git_ignores(
    services: dict[str, Service], name: str
) -> None:
    assert "./ops/tls:/etc/tocsin/tls:ro" in [filled(volume) for volume in services[name]["volumes"]]
    assert "/ops/tls/" in (ROOT / ".gitignore").read_text().splitlines()
