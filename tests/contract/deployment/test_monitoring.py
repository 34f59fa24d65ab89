"""Prometheus rules and the Grafana dashboard name metrics and labels that the processes have."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from broadcast import metrics
from broadcast.stages import STAGES

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "ops/prometheus"
GRAFANA = ROOT / "ops/grafana"
SERIES = re.compile(r"\b((?:tocsin|process)_\w+)(?:\{([^}]*)\})?")
BY = re.compile(r"\bby \(([^)]*)\)")
SCRAPED = {"job", "instance"}
PROCESS = "process_"
"""What prometheus_client exports of every process (`ProcessCollector`)."""


def labels_of_series() -> dict[str, set[str]]:
    """Every series that a process may export, with its labels."""
    found = {f"{PROCESS}{name}": set[str]() for name in ("resident_memory_bytes", "start_time_seconds")}
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            (family,) = metric.describe()
            labels = set(metric._labelnames)
            if isinstance(metric, Histogram):
                found |= {f"{family.name}_bucket": labels | {"le"}, f"{family.name}_count": labels}
            else:
                found[f"{family.name}_total" if isinstance(metric, Counter) else family.name] = labels
    return found


LABELS = labels_of_series()


def rules() -> list[dict[str, Any]]:
    content = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    content = json.loads((GRAFANA / "dashboards/tocsin.json").read_text())
    assert isinstance(content, dict)
    return content


def expressions() -> list[tuple[str, str]]:
    found = [(rule["alert"], rule["expr"]) for rule in rules()]
    for panel in dashboard()["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel["targets"]]
    found += [(item["name"], item["expr"]) for item in dashboard()["annotations"]["list"]]
    return found


@pytest.mark.parametrize(("name", "expression"), expressions())
def test_series_and_labels_exist(name: str, expression: str) -> None:
    named = SERIES.findall(expression)
    assert named or "up{" in expression or expression == "vector(1)"
    known = set(SCRAPED)
    for series, selector in named:
        assert series in LABELS, f"{name}: no metric {series}"
        known |= LABELS[series]
        assert set(re.findall(r"(\w+)\s*[=!]", selector)) <= LABELS[series] | SCRAPED
    for grouping in BY.findall(expression):
        assert {label.strip() for label in grouping.split(",")} <= known
    assert expression.count("(") == expression.count(")")


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alarm_says_what_and_what_to_do(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"Tocsin[A-Z]\w+", rule["alert"])
    assert rule["labels"]["severity"] in {"page", "ticket", "info", "heartbeat"}
    assert rule["annotations"].keys() == {"summary", "action", "runbook"}
    page, _, heading = rule["annotations"]["runbook"].partition("#")
    assert f"## {rule['alert']}" in (ROOT / page).read_text().splitlines()
    assert heading == rule["alert"].lower()
    series = [LABELS[name] for name, _ in SERIES.findall(rule["expr"])]
    used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    grouped = {label.strip() for grouping in BY.findall(rule["expr"]) for label in grouping.split(",")}
    assert used <= (grouped or set().union(*series) | SCRAPED)


@pytest.mark.parametrize("rule", [rule for rule in rules() if "increase(" in rule["expr"]], ids=lambda r: r["alert"])
def test_what_increases_from_nothing_is_seen(rule: dict[str, Any]) -> None:
    """increase() sees neither the first value of a series nor an equal one after a restart."""
    for series, window in re.findall(r"increase\((\w+(?:\{.*?\})?)\[(\w+)\]\)", rule["expr"]):
        assert f"({series} unless {series} offset {window}) > 0" in rule["expr"]
        assert re.search(rf"{re.escape(series)} > 0\s+and on \(job, instance\) time\(\) - process_start", rule["expr"])


def test_processes_say_when_they_started() -> None:
    assert f"{PROCESS}start_time_seconds" in metrics.render().decode()


def test_the_page_on_monitoring_names_each_metric_and_each_alarm() -> None:
    page = (ROOT / "docs/monitoring.md").read_text()
    named = set(re.findall(r"`(\w+)`", page))
    families = {series.removesuffix("_bucket").removesuffix("_count") for series in LABELS}
    wanted = {series.removeprefix("tocsin_") for series in families if series.startswith("tocsin_")}
    assert wanted - named == set()
    assert {rule["alert"] for rule in rules()} - named == set()
    assert {name for name in named if name.startswith("Tocsin")} - {rule["alert"] for rule in rules()} == set()
    for rule in rules():
        (line,) = [line for line in page.splitlines() if f"`{rule['alert']}`" in line]
        assert f"| {rule['labels']['severity']} |" in line


def test_histogram_bounds_in_rules_are_buckets() -> None:
    for name, expression in expressions():
        for series, bound in re.findall(r'(\w+)_bucket\{le="([\d.]+)"\}', expression):
            histogram = getattr(metrics, series.removeprefix("tocsin_").removesuffix("_seconds"))
            assert float(bound) in histogram._upper_bounds, name
            assert str(float(bound)) == bound, "Prometheus compares `le` as text"


def test_every_stage_is_scraped_at_its_port() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    targets = {
        name: (job["job_name"], sd["port"])
        for job in config["scrape_configs"]
        for sd in job["dns_sd_configs"]
        for name in sd["names"]
    }
    assert targets == {stage: (f"tocsin-{stage}", 8080 if stage == "api" else 9100) for stage in STAGES}
    missing = next(rule["expr"] for rule in rules() if rule["alert"] == "TocsinStageMissing")
    assert set(re.findall(r"tocsin-(\w+)", missing)) == set(STAGES)
    assert config["rule_files"] == ["rules.yml"]


def test_dashboard_finds_its_data_source() -> None:
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    uids = {panel["datasource"]["uid"] for panel in dashboard()["panels"]}
    assert uids == {sources[0]["uid"]}
    identities = [panel["id"] for panel in dashboard()["panels"]]
    assert len(identities) == len(set(identities))
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/tocsin.yml").read_text())["providers"][0]
    compose = yaml.safe_load((ROOT / "ops/compose.monitoring.yml").read_text())
    mounts = [volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounts
