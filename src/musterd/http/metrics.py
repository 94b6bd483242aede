"""Metrics for Prometheus: the counters of this process, and figures read from the database at each scrape.

The Prometheus library is imported at the first scrape, so that a server without monitoring does not load it.
"""

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

import musterd
from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.core.metrics import Counter, Histogram, Metrics
from musterd.core.threads import in_thread
from musterd.store import stats
from musterd.store.stats import DatabaseStats

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from musterd.http.server import Server

ChooseEncoder = Callable[[str], tuple[Callable[["CollectorRegistry"], bytes], str]]
"""Returns an encoder and its content type for an ``Accept`` header."""

PREFIX = "musterd_"
GAUGES = {
    "info": "The running version, as a label; always 1.",
    "runs": "Unfinished root runs in the database, by state.",
    "oldest_ready_seconds": "Longest time that a ready run has waited for a worker.",
    "approvals_pending": "Approvals that wait for a person.",
    "workers": "Registered worker processes.",
    "database_up": "Whether the database answered this scrape; if not, metrics from the database are missing.",
    "bus_up": "Whether NATS can be reached now; always 1 without NATS.",
    "runs_driven": "Runs that this process is driving.",
    "run_slots": "Maximum number of runs that this process drives at once.",
    "readers": "Subscribers that this process is serving.",
    "ready": "Whether this process accepts runs.",
}
"""The gauges, whose values are read at each scrape; names without the prefix."""


class MetricsOperations:
    """The metrics operation of one server."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._stats: DatabaseStats | None = None
        self._choose: ChooseEncoder | None = None

    async def get(self, request: Request) -> Response:
        """All metrics, in the format that the client accepts."""
        now = clock.now()
        if self._choose is None:  # in a thread: the import would block the event loop
            self._choose = await in_thread(_import_encoders)
        try:
            self._stats = await self._server.database.scan(lambda tx: stats.read(tx, now))
        except StoreUnavailable:
            self._stats = None
        encode, content_type = self._choose(request.headers.get("accept", ""))
        return Response(encode(self._registry), media_type=None, headers={"Content-Type": content_type})

    @functools.cached_property
    def _registry(self) -> "CollectorRegistry":
        from prometheus_client import CollectorRegistry, ProcessCollector

        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        registry.register(self)
        return registry

    def collect(self) -> "Iterator[Metric]":
        """All metrics as objects of the Prometheus library, which calls this method."""
        yield from counted(self._server.metrics)
        yield from self._gauges()

    def _gauges(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily

        server, database_stats = self._server, self._stats
        yield _gauge("info", 1.0, version=musterd.__version__)
        yield _gauge("database_up", float(database_stats is not None))
        yield _gauge("bus_up", float(server.bus.is_connected))
        yield _gauge("ready", float(server.worker.is_ready and not server.is_stopping))
        yield _gauge("runs_driven", float(len(server.worker.live_attempts())))
        yield _gauge("run_slots", float(server.settings.concurrency))
        yield _gauge("readers", float(server.reader_count))
        if database_stats is None:
            return
        runs = GaugeMetricFamily(PREFIX + "runs", GAUGES["runs"], labels=["state"])
        for state, count in database_stats.runs.items():
            runs.add_metric([state], float(count))
        yield runs
        yield _gauge("oldest_ready_seconds", database_stats.oldest_ready_seconds)
        yield _gauge("approvals_pending", float(database_stats.approvals))
        yield _gauge("workers", float(database_stats.workers))


def _import_encoders() -> "ChooseEncoder":
    from prometheus_client.exposition import choose_encoder

    return choose_encoder


def _gauge(name: str, value: float, **labels: str) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(PREFIX + name, GAUGES[name], labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def counted(metrics: Metrics) -> "Iterator[Metric]":
    """The counters and histograms of this process as objects of the Prometheus library."""
    for counter in metrics.counters:
        yield _counter(counter)
    for histogram in metrics.histograms:
        yield _histogram(histogram)


def _counter(counter: Counter) -> "Metric":
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(PREFIX + counter.name, counter.about, labels=counter.labels)
    for labels, value in list(counter.values.items()):
        family.add_metric(labels, value)
    return family


def _histogram(histogram: Histogram) -> "Metric":
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(PREFIX + histogram.name, histogram.about, labels=histogram.labels)
    names = [*(f"{bound:g}" for bound in histogram.bounds), "+Inf"]
    for labels, spread in list(histogram.values.items()):
        buckets, cumulative = [], 0.0
        for name, count in zip(names, spread.counts, strict=True):
            cumulative += count
            buckets.append((name, cumulative))
        family.add_metric(labels, buckets, spread.total)
    return family
