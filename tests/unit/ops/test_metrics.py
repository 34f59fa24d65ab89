"""Metrics: the names of the reference, bounded labels, batches equal to single observations."""

import ast
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from broadcast import metrics
from broadcast.sending.metrics import RouteMetrics, begin_account
from tests.support.sources import parse

ROOT = Path(__file__).parents[3]

REFERENCE = [
    "alerts_total{status,msg_type,outcome}",
    "alert_expand_duration_seconds",
    "recipients_expanded_total{lane}",
    "jobs_in_flight{lane}",
    "handover_duration_seconds{lane}",
    "receipt_duration_seconds{account,state}",
    "delivery_duration_seconds{account}",
    "smpp_submit_total{account,command_status}",
    "smpp_window_used_ratio{account,bind}",
    "smpp_bind_up{account,bind}",
    "smpp_throttled_total{account}",
    "smpp_enquire_link_rtt_seconds{account}",
    "receipts_total{account,state,match}",
    "consumer_lag_seconds{topic,group}",
    "deadletters_messages{topic}",
    "audit_lag_seconds",
    "audit_rows_total{event}",
    "reconciliation_gap{alert_class}",
    "audit_chain_verified_timestamp_seconds",
    "link_test_last_success_timestamp_seconds{account,bind}",
    "jobs_suppressed_total{reason}",
]

UNBOUNDED = {"alert", "alert_id", "recipient", "recipient_id", "number", "msisdn", "message_id", "job"}


def collectors() -> dict[str, tuple[str, ...]]:
    found = {}
    for collector in set(metrics.REGISTRY._collector_to_names):
        labels = tuple(getattr(collector, "_labelnames", ()))
        # A shared gauge that nobody has set has no samples, but a name.
        families = collector.describe() if isinstance(collector, metrics.SharedGauge) else collector.collect()
        for metric in families:
            found[metric.name + ("_total" if metric.type == "counter" else "")] = labels
    return found


def test_names_and_labels_are_those_of_the_reference() -> None:
    found = collectors()
    for entry in REFERENCE:
        name, _, labels = entry.partition("{")
        assert found[f"tocsin_{name}"] == tuple(filter(None, labels.rstrip("}").split(",")))


def test_every_metric_has_a_writer() -> None:
    sources = [path for room in ("broadcast", "streams") for path in (ROOT / room).rglob("*.py")]
    written = {
        node.attr
        for path in sources
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "metrics"
    }
    ours = {name for name, value in vars(metrics).items() if isinstance(value, Counter | Gauge | Histogram)}
    assert ours - written == set()


def test_no_label_is_unbounded() -> None:
    assert not [name for name, labels in collectors().items() if UNBOUNDED & set(labels)]


def test_names_use_base_units() -> None:
    ours = [name for name in collectors() if name.startswith("tocsin_")]
    assert not [name for name in ours if re.search(r"_(ms|milliseconds|minutes|kb|percent)(_|$)", name)]


def test_rendering_is_prometheus_text_with_build_and_process() -> None:
    families = {family.name for family in text_string_to_metric_families(metrics.render().decode())}
    assert "tocsin_build_info" in families or "tocsin_build" in families
    assert "process_resident_memory_bytes" in families


@given(st.lists(st.floats(min_value=0, max_value=1e4), max_size=60), st.lists(st.just(1.0), max_size=3))
def test_a_batch_equals_its_observations(values: list[float], on_the_bound: list[float]) -> None:
    values = values + on_the_bound
    registry = CollectorRegistry()
    batched = Histogram("batched", "x", ("lane",), registry=registry, buckets=(0.5, 1, 10))
    single = Histogram("single", "x", ("lane",), registry=registry, buckets=(0.5, 1, 10))
    metrics.observe_batch(batched.labels("a"), values)
    single.labels("a")
    for value in values:
        single.labels("a").observe(value)
    for suffix, labels in (
        ("_count", {"lane": "a"}),
        *(("_bucket", {"lane": "a", "le": bound}) for bound in ("0.5", "1.0", "10.0", "+Inf")),
    ):
        expected = registry.get_sample_value(f"single{suffix}", labels)
        assert registry.get_sample_value(f"batched{suffix}", labels) == expected
    sums = [registry.get_sample_value(f"{name}_sum", {"lane": "a"}) or 0.0 for name in ("single", "batched")]
    assert abs(sums[0] - sums[1]) <= 1e-6 * max(1.0, sums[0])


def test_a_fact_that_all_share_is_shown_only_while_its_holder_knows_it() -> None:
    def shown(name: str, **labels: str) -> float | None:
        return metrics.REGISTRY.get_sample_value(f"tocsin_{name}", labels)

    metrics.remove_shared()
    assert "tocsin_receipts_parked 0" not in metrics.render().decode(), "an idle process knows nothing of it"
    metrics.receipts_parked.set(0)
    metrics.alarms.labels("sum_gap").set(1)
    assert (shown("receipts_parked"), shown("alarms", kind="sum_gap")) == (0, 1)
    metrics.remove_shared()
    assert (shown("receipts_parked"), shown("alarms", kind="sum_gap")) == (None, None)


def test_what_counts_begins_at_0_so_that_the_first_broadcast_has_a_rate() -> None:
    def shown(name: str, **labels: str) -> float | None:
        return metrics.REGISTRY.get_sample_value(f"tocsin_{name}", labels)

    RouteMetrics()
    begin_account("new")
    assert shown("jobs_total", lane="immediate", outcome="accepted") is not None
    assert shown("handover_duration_seconds_count", lane="routine") is not None
    assert shown("smpp_submit_total", account="new", command_status="ESME_ROK") == 0
