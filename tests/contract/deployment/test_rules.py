"""Each rule of Prometheus fires when it should and ends when it should, as promtool evaluates it.

promtool is in Debian's package `prometheus`; `make promtool` puts it where these tests find it.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[3]
RULES = ROOT / "ops/prometheus/rules.yml"
PROMTOOL = shutil.which("promtool", path=f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ.get('PATH', '')}")
AT = 'instance="i", job="tocsin-sender"'
PROCESS = f"process_start_time_seconds{{{AT}}}"


class Case(NamedTuple):
    """What Prometheus has scraped every 10 s, when the rule fires with this summary, and when it does not."""

    what: str
    rule: str
    series: Mapping[str, str]
    fires_at: str | None
    labels: Mapping[str, str]
    summary: str
    quiet_at: Sequence[str] = ()


def counter(name: str, values: str, **labels: str) -> dict[str, str]:
    written = ", ".join(f'{label}="{value}"' for label, value in labels.items())
    return {f"tocsin_{name}{{{written}}}": values}


def at_sender(name: str, values: str, **labels: str) -> dict[str, str]:
    return counter(name, values, **labels, instance="i", job="tocsin-sender")


SENDER = {"instance": "i", "job": "tocsin-sender"}
STAGES = ("api", "planner", "expander", "sender", "recorder")


def up(**values: str) -> dict[str, str]:
    return {f'up{{instance="i", job="tocsin-{stage}"}}': values.get(stage, "1x60") for stage in STAGES}


CASES = (
    Case(
        "half of the jobs are late",
        "TocsinHandoverSlow",
        counter("handover_duration_seconds_bucket", "0+50x30 1500x90", lane="routine", le="10.0")
        | counter("handover_duration_seconds_count", "0+100x30 3000x90", lane="routine"),
        "5m",
        {"lane": "routine"},
        "50% of routine jobs take over 10 s to an SMSC",
        ("30s", "15m"),
    ),
    Case(
        "half of the receipts are late",
        "TocsinReceiptsSlow",
        counter("receipt_duration_seconds_bucket", "0+50x180", account="a", le="300.0")
        | counter("receipt_duration_seconds_count", "0+100x180", account="a"),
        "25m",
        {"account": "a"},
        "50% of the receipts of a come after 5 minutes",
        ("5m",),
    ),
    Case(
        "most messages are refused",
        "TocsinUnreached",
        counter("account_failed_ratio", "0x6 0.92x6 0.1x6", account="a"),
        "1m30s",
        {"account": "a"},
        "92% of the messages by a reach nobody",
        ("30s", "2m30s"),
    ),
    Case(
        "nobody sweeps while messages are refused",
        "TocsinUnreached",
        counter("account_failed_ratio", "0.92x6 stale", account="a"),
        "5m",
        {"account": "a"},
        "92% of the messages by a reach nobody",
    ),
    Case(
        "no receipts come",
        "TocsinUnreached",
        counter("account_failed_ratio", "0x18", account="a")
        | counter("account_unreached_ratio", "0.15x6 1x6", account="a"),
        "1m30s",
        {"account": "a"},
        "100% of the messages by a reach nobody",
        ("30s",),
    ),
    Case(
        "submits are refused",
        "TocsinSubmitsRefused",
        counter("smpp_submit_total", "0+900x12 10800x60", account="a", command_status="ESME_RINVDSTADR")
        | counter("smpp_submit_total", "0+100x12 1200x60", account="a", command_status="ESME_ROK"),
        "1m",
        {"account": "a"},
        "a refuses 90% of the submits, or does not answer them",
        ("0s", "5m"),
    ),
    Case(
        "submits are throttled",
        "TocsinSubmitsRefused",
        counter("smpp_submit_total", "0+900x60", account="a", command_status="ESME_RTHROTTLED")
        | counter("smpp_submit_total", "0+100x60", account="a", command_status="ESME_ROK"),
        None,
        {},
        "",
        ("1m", "5m"),
    ),
    Case(
        "a bind goes down and comes back",
        "TocsinBindDown",
        at_sender("smpp_bind_up", "1x6 0x6 1x6", account="a", bind="a-1") | up(),
        "1m50s",
        {"account": "a", "bind": "a-1", **SENDER},
        "bind a-1 of a is down",
        ("30s", "2m30s"),
    ),
    Case(
        "the sender of a bind that is down ends",
        "TocsinBindDown",
        at_sender("smpp_bind_up", "0x6 stale", account="a", bind="a-1") | up(sender="1x6 0x60"),
        "5m",
        {"account": "a", "bind": "a-1", **SENDER},
        "bind a-1 of a is down",
    ),
    Case(
        "a sender raises its first alarm",
        "TocsinSenderAlarm",
        at_sender("sender_alarms_total", "_x5 1x120", kind="bind_down") | {PROCESS: "0x120"},
        "1m",
        {"kind": "bind_down", **SENDER},
        "i has raised bind_down",
        ("30s", "15m"),
    ),
    Case(
        "a bind is silent",
        "TocsinLinkTestStale",
        counter("link_test_last_success_timestamp_seconds", "0x40", account="a"),
        "6m",
        {"account": "a"},
        "nothing has answered on a for 6m 0s",
        ("4m",),
    ),
    Case(
        "an account throttles",
        "TocsinThrottled",
        counter("smpp_throttled_total", "0+20x120", account="a"),
        "10m",
        {"account": "a"},
        "a throttles 2 submits/s",
        ("3m",),
    ),
    Case(
        "submits are marked as possible duplicates",
        "TocsinPossibleDuplicates",
        at_sender("possible_duplicates_total", "_x5 40x120", lane="routine") | {PROCESS: "0x120"},
        "1m",
        {"lane": "routine", **SENDER},
        "about 40 submits of the routine lane may have reached people twice",
        ("30s", "15m"),
    ),
    Case(
        "a group stands still",
        "TocsinLag",
        at_sender("consumer_lag_seconds", "0+10x12 0x12", topic="t", group="g") | up(),
        "2m",
        {"topic": "t", "group": "g"},
        "g has not moved on t for 2m 0s",
        ("1m", "2m20s"),
    ),
    Case(
        "a process that stands still ends",
        "TocsinLag",
        at_sender("consumer_lag_seconds", "20x6 stale", topic="t", group="g") | up(sender="1x6 0x60"),
        "5m",
        {"topic": "t", "group": "g"},
        "g has not moved on t for 20s",
    ),
    Case(
        "a record cannot be read, and is dismissed",
        "TocsinDeadLetters",
        counter("deadletters_messages", "0x3 1x3 0x3", topic="t"),
        "50s",
        {"topic": "t"},
        "1 records of t could not be read",
        ("20s", "90s"),
    ),
    Case(
        "Kafka is frozen",
        "TocsinServerAway",
        counter("server_away_seconds", "0 4+10x6 0x6", stage="planner", service="kafka"),
        "1m",
        {"stage": "planner", "service": "kafka"},
        "kafka has not answered the planner for 54s",
        ("10s", "1m30s"),
    ),
    Case(
        "a process does not answer",
        "TocsinStageDown",
        up(sender="1x3 0x6 1x6"),
        "1m20s",
        SENDER,
        "tocsin-sender at i does not answer",
        ("20s", "2m"),
    ),
    Case(
        "a process ends again and again",
        "TocsinCrashLoop",
        {PROCESS: "0x6 60x6 120x6 180x120"},
        "4m",
        SENDER,
        "tocsin-sender at i has been started 3 times within 15 minutes",
        ("2m", "20m"),
    ),
    Case(
        "a process waits",
        "TocsinNotReady",
        at_sender("ready", "1x3 0x12 1x6", stage="sender") | up(),
        "2m20s",
        {"stage": "sender", **SENDER},
        "the sender on i is not ready",
        ("30s", "3m"),
    ),
    Case(
        "a process that waits ends",
        "TocsinNotReady",
        at_sender("ready", "0x6 stale", stage="sender") | up(sender="1x6 0x60"),
        "5m",
        {"stage": "sender", **SENDER},
        "the sender on i is not ready",
    ),
    Case(
        "every process of a stage is down",
        "TocsinStageMissing",
        up(planner="0x60"),
        "2m",
        {"job": "tocsin-planner"},
        "no process of tocsin-planner is there at all",
        ("30s",),
    ),
    Case(
        "a stage was never there",
        "TocsinStageMissing",
        {series: values for series, values in up().items() if "recorder" not in series},
        "2m",
        {"job": "tocsin-recorder"},
        "no process of tocsin-recorder is there at all",
    ),
    Case("every stage is there", "TocsinStageMissing", up(), None, {}, "", ("2m",)),
    Case(
        "always",
        "TocsinHeartbeat",
        {},
        "1m",
        {},
        "Always firing. Whoever stops receiving it knows that the watching itself has failed.",
    ),
    Case(
        "states do not add up",
        "TocsinReconciliationGap",
        counter("reconciliation_gap", "0x3 2x6 0x6", alert_class="open"),
        "1m20s",
        {"alert_class": "open"},
        "2 recipients of open alerts are in no state, or in too many",
        ("20s", "2m"),
    ),
    Case(
        "nobody sweeps while states do not add up",
        "TocsinReconciliationGap",
        counter("reconciliation_gap", "2x6 stale", alert_class="open"),
        "5m",
        {"alert_class": "open"},
        "2 recipients of open alerts are in no state, or in too many",
    ),
    Case(
        "an alarm is raised and cleared",
        "TocsinAlarm",
        counter("alarms", "0x3 1x6 0x6", kind="sum_gap", instance="i"),
        "1m",
        {"kind": "sum_gap"},
        "1 alarms of sum_gap are open",
        ("20s", "1m50s"),
    ),
    Case(
        "the sweep moves and the alarm was cleared meanwhile",
        "TocsinAlarm",
        counter("alarms", "1x6 stale", kind="sum_gap", instance="i")
        | counter("alarms", "_x7 0x12", kind="sum_gap", instance="j"),
        None,
        {},
        "",
        ("1m20s", "2m"),
    ),
    Case(
        "nobody sweeps while an alarm is open",
        "TocsinAlarm",
        counter("alarms", "1x6 stale", kind="sum_gap", instance="i"),
        "10m",
        {"kind": "sum_gap"},
        "1 alarms of sum_gap are open",
    ),
    Case(
        "a step of the sweep stands still",
        "TocsinSweepStale",
        counter("sweep_last_success_timestamp_seconds", "0+10x6 60x30 400x30", step="alerts"),
        "4m",
        {"step": "alerts"},
        "the sweep's step alerts has not come to its end for two minutes",
        ("2m", "7m"),
    ),
    Case(
        "nobody sweeps",
        "TocsinSweepStale",
        {},
        "1m",
        {"step": "any"},
        "the sweep's step any has not come to its end for two minutes",
    ),
    Case(
        "deliveries cannot be read",
        "TocsinReceiptsUnreadable",
        at_sender("receipts_unreadable_total", "_x5 3x120", account="a") | {PROCESS: "0x120"},
        "1m",
        {"account": "a"},
        "the SMSC of a sent 3 deliveries that nobody can read",
        ("30s", "15m"),
    ),
    Case(
        "the evidence was verified long ago",
        "TocsinVerificationOld",
        counter("audit_chain_verified_timestamp_seconds", "-700000x600"),
        "90m",
        {},
        "the evidence has not been verified for over a week, or never",
        ("30m",),
    ),
    Case(
        "the evidence was never verified",
        "TocsinVerificationOld",
        {},
        "90m",
        {},
        "the evidence has not been verified for over a week, or never",
    ),
    Case(
        "the audit is behind",
        "TocsinAuditLag",
        counter("audit_lag_seconds", "0x3 40x12 0x6"),
        "2m",
        {},
        "the audit is 40s behind",
        ("30s", "3m"),
    ),
    Case(
        "two live alerts within a minute",
        "TocsinLiveAlert",
        at_sender("alerts_total", "_x3 1x3 2x30", status="Actual", msg_type="Alert", outcome="accepted")
        | {PROCESS: "0x60"},
        "1m20s",
        {"msg_type": "Alert", "outcome": "accepted", "total": "2"},
        "a live alert: Alert, accepted; 2 since the start",
        ("20s", "4m"),
    ),
)


def rules() -> dict[str, Any]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def expected(case: Case) -> Iterator[dict[str, Any]]:
    rule = rules()[case.rule]
    if case.fires_at is not None:
        annotations = {name: rule["annotations"][name] for name in ("action", "runbook")} | {"summary": case.summary}
        alert = {"exp_labels": {"severity": rule["labels"]["severity"], **case.labels}, "exp_annotations": annotations}
        yield {"eval_time": case.fires_at, "alertname": case.rule, "exp_alerts": [alert]}
    for time in case.quiet_at:
        yield {"eval_time": time, "alertname": case.rule, "exp_alerts": []}


def promtool_test(case: Case) -> dict[str, Any]:
    return {
        "interval": "10s",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "alert_rule_test": list(expected(case)),
    }


@pytest.mark.skipif(PROMTOOL is None and not os.environ.get("CI"), reason="no promtool: run `make promtool` once")
def test_rules_fire_and_end(tmp_path: Path) -> None:
    file = tmp_path / "rules_test.json"  # JSON is YAML
    tests = [promtool_test(case) for case in CASES]
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "10s", "tests": tests}))
    assert PROMTOOL is not None, "no promtool: run `make promtool`"
    done = subprocess.run([PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_tested() -> None:
    assert {case.rule for case in CASES if case.fires_at is not None} == rules().keys()
