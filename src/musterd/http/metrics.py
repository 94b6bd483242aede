"""Figures for Prometheus: what this process counted, and what the database alone knows, when they are fetched.

Prometheus' library is imported with the first fetch: a server that nobody watches never pays for it.
"""

import asyncio
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

import musterd
from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.core.metrics import Counter, Histogram, Metrics
from musterd.store import stats
from musterd.store.stats import DatabaseStats

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from musterd.http.server import Server

Choose = Callable[[str], tuple[Callable[["CollectorRegistry"], bytes], str]]
"""Gives what writes the figures, and what that is, for what a client accepts."""

PREFIX = "musterd_"
GAUGES = {
    "info": "The version that runs, as a label; always 1.",
    "runs": "Root runs that have not ended, by state, in the whole database.",
    "oldest_ready_seconds": "How long the run waits that waits longest for a worker.",
    "approvals_pending": "Questions that wait for a person.",
    "workers": "Processes that have announced themselves.",
    "database_up": "Whether the database answered this fetch; where not, what it alone knows is left out.",
    "runs_driven": "Runs that this process drives now.",
    "run_slots": "Runs that this process may drive at once.",
    "readers": "Readers of streams that this process serves now.",
    "ready": "Whether this process accepts runs.",
}
"""What is looked at when the figures are fetched, without the prefix."""


class MetricsOperations:
    """The figures of one server."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._standing: DatabaseStats | None = None
        self._choose: Choose | None = None

    async def get(self, request: Request) -> Response:
        """All figures, in the form that the client asks for."""
        now = clock.now()
        if self._choose is None:  # not on the loop: it takes as long as many requests
            self._choose = await asyncio.to_thread(_encoders)
        try:
            self._standing = await self._server.database.scan(lambda tx: stats.look(tx, now))
        except StoreUnavailable:
            self._standing = None
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
        """Every figure as Prometheus' library takes it."""
        yield from counted(self._server.metrics)
        yield from self._looked_at()

    def _looked_at(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily

        server, found = self._server, self._standing
        yield _gauge("info", 1.0, version=musterd.__version__)
        yield _gauge("database_up", float(found is not None))
        yield _gauge("ready", float(server.engine.is_ready and not server.is_stopping))
        yield _gauge("runs_driven", float(len(server.engine.live())))
        yield _gauge("run_slots", float(server.settings.concurrency))
        yield _gauge("readers", float(server.broadcaster.readers))
        if found is None:
            return
        runs = GaugeMetricFamily(PREFIX + "runs", GAUGES["runs"], labels=["state"])
        for state, count in found.runs.items():
            runs.add_metric([state], float(count))
        yield runs
        yield _gauge("oldest_ready_seconds", found.oldest_ready_seconds)
        yield _gauge("approvals_pending", float(found.approvals))
        yield _gauge("workers", float(found.workers))


def _encoders() -> "Choose":
    from prometheus_client.exposition import choose_encoder

    return choose_encoder


def _gauge(name: str, value: float, **labels: str) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(PREFIX + name, GAUGES[name], labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def counted(metrics: Metrics) -> "Iterator[Metric]":
    """What was counted, as Prometheus' library takes it."""
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
        buckets, so_far = [], 0.0
        for name, count in zip(names, spread.counts, strict=True):
            so_far += count
            buckets.append((name, so_far))
        family.add_metric(labels, buckets, spread.total)
    return family
