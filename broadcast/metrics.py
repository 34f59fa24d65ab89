"""Metrics of every process, in one place, under `tocsin_` and with the glossary's words.

Label values are bounded: never a number, a recipient, a job or an alert. The data plane increments once per batch
(`inc(n)`, `observe_batch`), never per recipient. Names follow Prometheus's: base units, `_total`, `_seconds`, `_ratio`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

REGISTRY = CollectorRegistry(auto_describe=True)
_SHARED: list["SharedGauge"] = []

_STEP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_HANDOVER_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)
_RECEIPT_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, namespace="tocsin", registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(name, text, labels, namespace="tocsin", registry=REGISTRY)


class SharedGauge(Gauge):
    """A gauge about what all processes share, exported only while this process holds the role."""

    _known = False

    def set(self, value: float) -> None:
        """Set the value; from now on it is exported."""
        self._known = True
        super().set(value)

    def collect(self) -> Iterable[Metric]:
        """The samples; none before the first value and after `remove_shared`."""
        return super().collect() if self._known or self._labelnames else ()

    def forget(self) -> None:
        """Export nothing until it is set again."""
        self._known = False
        if self._labelnames:
            self.clear()


def _shared(name: str, text: str, *labels: str) -> SharedGauge:
    gauge = SharedGauge(name, text, labels, namespace="tocsin", registry=REGISTRY)
    _SHARED.append(gauge)
    return gauge


def remove_shared() -> None:
    """Remove every shared gauge: another process holds the role, or nobody knows the facts."""
    for gauge in _SHARED:
        gauge.forget()


def _histogram(name: str, text: str, *labels: str, buckets: Sequence[float] = _STEP_SECONDS) -> Histogram:
    return Histogram(name, text, labels, namespace="tocsin", registry=REGISTRY, buckets=buckets)


# API
http_requests = _counter("http_requests", "Requests answered", "method", "route", "code")
http_request_duration = _histogram("http_request_duration_seconds", "From request to answer", "method", "route")

# alerts
alerts = _counter("alerts", "Alerts by CAP status, msgType and what became of them", "status", "msg_type", "outcome")
stops = _counter("stops", "Stops written to control", "origin")

# planner and expander
alert_expand_duration = _histogram("alert_expand_duration_seconds", "From the alert event to its last chunk's jobs")
recipients_expanded = _counter("recipients_expanded", "Recipients for whom a job was produced", "lane")
undelivered_rerouted = _counter(
    "undelivered_rerouted", "New copies by another route for recipients who were reported undelivered", "lane"
)
jobs_suppressed = _counter("jobs_suppressed", "Recipients for whom no (further) submit was made, by reason", "reason")

# sender
jobs = _counter("jobs", "Jobs by outcome", "lane", "outcome")
jobs_rerouted = _counter("jobs_rerouted", "Jobs given to the fallback route because no account worked", "lane")
jobs_in_flight = _gauge("jobs_in_flight", "Jobs that a sender has taken and that have no outcome yet", "lane")
handover_duration = _histogram(
    "handover_duration_seconds", "From the job's record to its submit_sm_resp", "lane", buckets=_HANDOVER_SECONDS
)
possible_duplicates = _counter("possible_duplicates", "Jobs submitted with the mark of a possible duplicate", "lane")
resends = _counter("resends", "Messages sent again because nothing answered", "lane")
resends_withdrawn = _counter("resends_withdrawn", "Of these, withdrawn because an answer or a receipt came", "lane")
sender_alarms = _counter("sender_alarms", "What a sender found wrong that needs a person", "kind")
in_doubt = _gauge("in_doubt", "Submits written whose status no beat has committed")
beat_duration = _histogram("beat_duration_seconds", "One beat of the sender: statuses, retries, positions")
smpp_submit = _counter("smpp_submit", "Answers to submit_sm by SMPP command_status", "account", "command_status")
smpp_window_used_ratio = _gauge("smpp_window_used_ratio", "Unanswered submits by window size", "account", "bind")
smpp_bind_up = _gauge("smpp_bind_up", "1 while a bind is bound", "account", "bind")
routes_in_force = _gauge(
    "routes_in_force_timestamp_seconds", "Since when a sender works by the routes with this hash", "sha256"
)
routes_reloads = _counter("routes_reloads", "Routes files read again while a sender ran: applied or refused", "outcome")
account_usable = _gauge("account_usable", "1 while an account may get work", "account")
account_simulated = _gauge("account_simulated", "1 for an account of a simulator, which reaches no phone", "account")
account_poor = _gauge("account_poor", "1 while an account gets little work because others are better", "account")
account_rate = _gauge("account_rate", "Segments per second that an account may submit now", "account")
account_rate_limit = _gauge("account_rate_limit", "Segments per second that are set for an account", "account")
account_throttled_ratio = _gauge(
    "account_throttled_ratio", "Share of throttled answers among those of the last seconds", "account"
)
smpp_throttled = _counter("smpp_throttled", "Submits refused because of rate", "account")
smpp_late = _counter("smpp_late", "Answers that came after their submit was counted as unanswered", "account")
smpp_contradictions = _counter("smpp_contradictions", "Submits that the SMSC took although it refused them", "account")
smpp_unexpected = _counter("smpp_unexpected", "PDUs that nothing asked for or that make no sense", "account", "kind")
smpp_enquire_link_rtt = _histogram("smpp_enquire_link_rtt_seconds", "enquire_link to its answer", "account")
link_test_last_success = _gauge(
    "link_test_last_success_timestamp_seconds", "Last bind or answered enquire_link", "account", "bind"
)

# receipts and the audit
receipts = _counter(
    "receipts",
    "Receipts that met their attempt: matched, early (no later than the status), late (by the sweep) or duplicate",
    "account",
    "state",
    "match",
)
receipts_unreadable = _counter(
    "receipts_unreadable", "Deliveries that are no receipt and no message, kept raw in the evidence", "account"
)
receipts_parked = _shared("receipts_parked", "Receipts that no attempt is known for")
receipts_unmatched = _shared(
    "receipts_unmatched", "Parked receipts by age: over a minute (1m), an hour (1h), a day (1d)", "account", "age"
)
receipt_duration = _histogram(
    "receipt_duration_seconds", "From the submit to the receipt here", "account", "state", buckets=_RECEIPT_SECONDS
)
delivery_duration = _histogram(
    "delivery_duration_seconds",
    "From submit date to done date, by the SMSC's clock",
    "account",
    buckets=_RECEIPT_SECONDS,
)
audit_lag = _gauge(
    "audit_lag_seconds", "Age of the oldest status or receipt that is not written to the audit; 0 if none is left"
)
audit_rows = _counter("audit_rows", "Rows written to the audit", "event")
evidence_segments = _counter("evidence_segments", "Evidence segments written", "topic")
sweep_last_success = _shared(
    "sweep_last_success_timestamp_seconds", "When a step of the recorder's sweep last came to its end", "step"
)
sweep_steps_failed = _counter("sweep_steps_failed", "Steps of the sweep that failed or took too long", "step")
reconciliation_gap = _shared(
    "reconciliation_gap", "Recipients of open alerts who are in no state or in too many", "alert_class"
)
audit_chain_verified = _shared("audit_chain_verified_timestamp_seconds", "When the chain was last verified, and sound")
account_failed_ratio = _shared(
    "account_failed_ratio", "Share of the submits of 15 minutes refused or reported undelivered", "account"
)
account_unreached_ratio = _shared(
    "account_unreached_ratio", "Share of them, old enough for a receipt, without one that says delivered", "account"
)
alarms = _shared("alarms", "Open alarms by kind", "kind")

# every stage
waits = _gauge(
    "waits", "1 for each thing that keeps the process from being ready, by its name on /readyz", "stage", "hold"
)
server_away = _gauge(
    "server_away_seconds",
    "Since when a server that the process uses has not answered; 0 while it does",
    "stage",
    "service",
)
ready = _gauge("ready", "1 while the process answers /readyz with 200", "stage")
consumer_lag = _gauge(
    "consumer_lag_seconds", "Since when the group has got no further, while records are left", "topic", "group"
)
consumer_lag_records = _gauge("consumer_lag_records", "Records left", "topic", "group")
transactions_refused = _counter(
    "transactions_refused", "Transactions that another one was in the way of: a lock wait that timed out", "what"
)
deadletters = _counter("deadletters", "Dead letters written", "topic")
deadletters_messages = _shared("deadletters_messages", "Dead letters neither put back nor dismissed", "topic")
transaction_duration = _histogram("transaction_duration_seconds", "One Kafka transaction, begin to commit", "stage")


def _version() -> str:
    try:
        return version("tocsin")
    except PackageNotFoundError:
        return "unknown"


Info("build", "Version of this process", namespace="tocsin", registry=REGISTRY).info({"version": _version()})
ProcessCollector(registry=REGISTRY)


def begin(metric: Counter | Histogram, *values: Iterable[str]) -> None:
    """Export these series from 0, one for each combination of label values.

    A series that begins above 0 has no rate(): the first broadcast after a start would be in no graph.
    """
    for combination in product(*values):
        metric.labels(*combination)


def observe_batch(histogram: Histogram, values: Sequence[float]) -> None:
    """Observe many values at once: one sort and one addition per bucket. `histogram` has its labels already.

    Equal to `observe` for each value; prometheus_client has no such call, so this adds to its buckets.
    """
    if not values:
        return
    ordered = sorted(values)
    below = 0
    for bound, bucket in zip(histogram._upper_bounds, histogram._buckets, strict=True):
        upto = bisect_right(ordered, bound)
        if upto > below:
            bucket.inc(upto - below)
            below = upto
        if below == len(ordered):
            break
    histogram._sum.inc(sum(ordered))


def render() -> bytes:
    """The body of `/metrics`."""
    return generate_latest(REGISTRY)
