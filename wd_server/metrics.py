"""Every metric's name, but for those of a backend, and the Prometheus text made of what the
packages count.

Nothing is counted here: each scrape reads the packages' `statistics()`. Labels take their values
from closed vocabularies, never from a wallet, a key or a stream.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from wd_server import __version__, process
from wd_server.access.authenticator import Authenticator
from wd_server.backend import Backend, Figure
from wd_server.chain.quotes import Quotes
from wd_server.chain.upstream import Upstream
from wd_server.health import Health
from wd_server.histogram import Histogram
from wd_server.journal.base import Journal
from wd_server.looplag import LoopLag
from wd_server.streaming.registry import StreamRegistry
from wd_server.sync.explainer import Explainer
from wd_server.sync.sessions import Sessions
from wd_server.tasks import Tasks

PREFIX = "walletdoctor_"

# The contract's counters whose names lack the `_total` that the client library appends.
_KEPT_NAMES = (b"total_streams", b"total_events", b"total_trades", b"bytes_sent")


@dataclass(frozen=True, slots=True)
class Measured:
    """What there is to read."""

    registry: StreamRegistry
    sessions: Sessions
    explainer: Explainer
    upstream: Upstream
    quotes: Quotes
    journal: Journal
    authenticator: Authenticator
    backend: Backend
    loop_lag: LoopLag
    tasks: Tasks
    health: Health


def exposition(measured: Measured) -> bytes:
    """The metrics as Prometheus text, format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reading(measured))
    text = generate_latest(registry)
    for name in _KEPT_NAMES:
        kept = PREFIX.encode() + name
        text = text.replace(kept + b"_total", kept)
    return text


class _Reading(Collector):
    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def collect(self) -> Iterator[Metric]:
        yield from self._streams()
        yield from self._chain()
        yield from self._sessions()
        yield from self._journal()
        yield from self._access()
        yield from map(_figure, self._measured.backend.figures())
        lag = self._measured.loop_lag.histogram
        yield _histogram("event_loop_lag_seconds", "How late the loop ran a timer.", lag)
        yield from self._tasks()
        yield from _process()

    def _streams(self) -> Iterator[Metric]:
        streams = self._measured.registry.statistics()
        yield _gauge("active_streams", "Streams open now.", streams.active)
        limit = self._measured.registry.limits.max_streams
        yield _gauge("streams_limit", "Streams that this process takes.", limit)
        yield _gauge("channels", "Wallets with at least one open stream.", streams.channels)
        yield _counter("total_streams", "Streams admitted.", streams.total)
        yield _counter("total_events", "Events written.", streams.events)
        yield _counter("total_trades", "Trades written.", streams.trades)
        yield _counter("bytes_sent", "Bytes written to streams.", streams.bytes)
        yield _gauge("error_rate", "Percentage of streams with errors.", streams.error_rate)
        yield _counters("streams_closed", "Streams ended.", "reason", streams.closed)
        yield _counters("streams_refused", "Streams not admitted.", "code", streams.refused)
        yield _counters("resumes", "Streams that named a position.", "outcome", streams.resumes)
        yield _counter("slow_demotions", "Times a client fell behind.", streams.demotions)
        yield _counter("replayed_events", "Events read from the journal.", streams.replayed)
        for name, text, histogram in (
            ("stream_duration", "Age of a stream at its end.", streams.duration_seconds),
            (
                "time_to_first_event",
                "From a request to its first event.",
                streams.first_event_seconds,
            ),
            (
                "publish_to_socket",
                "From an append to the end of the pass that wrote it.",
                streams.publish_seconds,
            ),
        ):
            yield _histogram(f"{name}_seconds", text, histogram)

    def _chain(self) -> Iterator[Metric]:
        rpc = self._measured.upstream.rpc.statistics()
        calls = _labelled("upstream_calls", "Requests to the Solana RPC.", ("method", "outcome"))
        for (method, outcome), count in sorted(rpc.calls.items()):
            calls.add_metric((method, outcome), count)
        yield calls
        yield _counters("upstream_credits", "Credits spent, by plan table.", "method", rpc.credits)
        account = self._measured.upstream.account
        if account.daily:
            yield _gauge("upstream_credits_limit", "The day's budget (UTC).", account.daily)
            yield _gauge(
                "upstream_credits_today", "Spent of it by all, as far as known.", account.today
            )
            yield _gauge("upstream_credits_today_own", "By this process.", account.own_today)
        yield _gauge(
            "upstream_quota_exhausted", "1 while the plan is used up.", rpc.quota_exhausted
        )
        history = self._measured.upstream.history.statistics()
        yield _gauge_of("upstream_mode", "1 for the way histories are read.", "mode", history.mode)
        text = "Transactions of histories that couldn't be read."
        yield _counter("transactions_unread", text, history.unread)
        yield from self._pushes()
        quotes = self._measured.quotes.statistics()
        yield _counter("quote_requests", "Requests to the price source.", quotes.requests)
        yield _counters("quote_failures", "Those that failed.", "kind", quotes.failures)
        refused = {
            "asset": self._measured.upstream.assets.statistics().unread,
            "price": quotes.rejected,
            "signature": self._measured.upstream.history.statistics().unlisted,
        }
        yield _counters("upstream_refused", "Parts of answers that can't be.", "kind", refused)

    def _pushes(self) -> Iterator[Metric]:
        live = self._measured.upstream.live.statistics()
        yield _gauge("upstream_connections", "WebSockets to the Solana RPC.", live.connections)
        yield _gauge("upstream_subscriptions", "Subscriptions there.", live.subscriptions)
        yield _counter("upstream_notifications", "Messages that told something.", live.notified)
        yield _counter("upstream_breaks", "Subscriptions that were lost.", live.breaks)
        came = self._measured.upstream.deliveries.statistics()
        outcomes = {"told": came.told, "repeated": came.repeated, "unread": came.unread}
        yield _counter("webhook_transactions", "Transactions delivered.", came.transactions)
        yield _counters("webhook_outcomes", "What became of them.", "outcome", outcomes)
        yield _gauge("webhook_waiting", "Deliveries stored and not worked on.", came.waiting)
        yield _gauge("webhook_quarantined", "Deliveries set aside.", came.quarantined)

    def _sessions(self) -> Iterator[Metric]:
        sessions = self._measured.sessions.statistics()
        yield _gauge("analyses_running", "Wallets being read now.", sessions.running)
        yield _counter("analysis_pushed", "Transactions taken without a pass.", sessions.pushed)
        yield _counters("analyses", "Passes over wallets.", "outcome", sessions.outcomes)
        yield _counters(
            "unexplained_transactions",
            "Transactions with a posting that nothing explains.",
            "reason",
            sessions.unexplained,
        )
        yield _counters(
            "unexplained_lamports",
            "SOL in such postings, without its sign.",
            "reason",
            sessions.unexplained_lamports,
        )
        backfill = _labelled_histogram(
            "backfill_duration_seconds",
            "First passes, by most transactions of the wallet.",
            "transactions",
        )
        for size, histogram in sessions.first_pass_seconds.items():
            backfill.add_metric((size,), _buckets(histogram), histogram.total)
        yield backfill
        explainer = self._measured.explainer.statistics
        yield _counter("explanations", "Transactions explained.", explainer.explanations)
        yield _counter(
            "explanation_transactions", "Recorded again to explain one.", explainer.recorded
        )
        yield _counter(
            "explanations_refused",
            "Too many waited, or the history is too long.",
            explainer.refused,
        )

    def _journal(self) -> Iterator[Metric]:
        journal = self._measured.journal.statistics()
        yield _histogram("journal_append_seconds", "One append.", journal.append_seconds)
        yield _histogram("journal_read_seconds", "One page read.", journal.read_seconds)
        yield _counter("journal_entries", "Entries stored.", journal.entries)
        yield _counter("journal_damaged", "Epochs given up as damaged.", journal.damaged)
        yield _gauge("journal_file_bytes", "Size of the journal's files.", journal.file_bytes)
        yield _gauge("journal_leases", "Wallets that this process may write.", journal.leases)
        yield _counter(
            "journal_leases_lost", "Wallets that another took over.", journal.leases_lost
        )

    def _tasks(self) -> Iterator[Metric]:
        tasks = self._measured.tasks.statistics()
        failures = tasks.failures
        yield _counters("task_failures", "Exceptions in background tasks.", "task", failures)
        states = {name: name in tasks.failing for name in tasks.endless}
        yield _gauges("task_failing", "1 while an endless task fails.", "task", states)
        stores = self._measured.health.stores()
        yield _gauges("store_failing", "1 while it can't be written.", "store", stores)

    def _access(self) -> Iterator[Metric]:
        access = self._measured.authenticator.statistics()
        yield _counter("access_checks", "Requests whose caller was asked for.", access.checks)
        yield _counters("access_refused", "Callers refused.", "code", access.refused)
        yield _counters("access_ended", "Streams whose key or token ended.", "reason", access.ended)
        yield _gauge("access_keys", "API keys known, ended ones too.", access.keys)
        yield _gauge("access_visits", "Streams counted for their callers.", access.slots)
        yield _gauge("access_stale", "1 while keys can't be read.", access.stale)


def _figure(figure: Figure) -> Metric:
    if isinstance(figure.value, Histogram):
        return _histogram(figure.name, figure.help, figure.value)
    if isinstance(figure.value, Mapping):
        labelled = _counters if figure.kind == "counter" else _gauges
        return labelled(figure.name, figure.help, figure.label, figure.value)
    plain = _counter if figure.kind == "counter" else _gauge
    return plain(figure.name, figure.help, figure.value)


def _process() -> Iterator[Metric]:
    """Under the names that all Prometheus clients give them."""
    yield _gauge_of("build_info", "1 for the version that runs.", "version", __version__)
    own = process.statistics()
    for name, text, value in (
        ("resident_memory_bytes", "Memory in use.", own.resident_bytes),
        ("start_time_seconds", "When it started, in unix seconds.", own.started),
        ("open_fds", "Open files.", own.open_files),
        ("max_fds", "Files that it may open.", own.max_files),
    ):
        yield GaugeMetricFamily(f"process_{name}", text, value=value)
    yield CounterMetricFamily("process_cpu_seconds", "User and system time.", own.cpu_seconds)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def _gauge_of(name: str, text: str, label: str, value: str) -> Metric:
    """1 for this value of the label."""
    family = GaugeMetricFamily(PREFIX + name, text, labels=(label,))
    family.add_metric((value,), 1)
    return family


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=(label,))
    for value, number in sorted(values.items()):
        family.add_metric((value,), number)
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value=value)


def _labelled(name: str, text: str, labels: tuple[str, ...]) -> CounterMetricFamily:
    return CounterMetricFamily(PREFIX + name, text, labels=labels)


def _counters(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = _labelled(name, text, (label,))
    for value, count in sorted(counts.items()):
        family.add_metric((value,), count)
    return family


def _labelled_histogram(name: str, text: str, label: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(PREFIX + name, text, labels=(label,))


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, text)
    family.add_metric((), _buckets(histogram), histogram.total)
    return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Cumulative counts by upper end, as Prometheus has them."""
    buckets, reached = [], 0
    for bound, count in zip((*histogram.bounds, "+Inf"), histogram.counts, strict=True):
        reached += count
        buckets.append((str(bound), float(reached)))
    return buckets
