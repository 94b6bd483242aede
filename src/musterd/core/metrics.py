"""Counters and histograms of a process's own work.

Counting updates a dictionary entry and takes a fraction of a microsecond, so any code may count directly. Only
:mod:`musterd.http.metrics` knows Prometheus and the names that metrics have there.

Labels are names or states that this server declares. They never contain data from clients, which could create series
without bound.
"""

from bisect import bisect_left
from collections.abc import Sequence

MAX_SERIES = 1000
"""The most series of one metric; any further ones are counted under :data:`OTHER`."""
OTHER = "other"

WAITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
RUNS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class Counter:
    """A count that only increases.

    :param name: its name, without the suffix that the exposition format adds.
    :param about: what it counts: the help text.
    :param labels: the names of its labels, in the order in which :meth:`add` takes them.
    """

    __slots__ = ("about", "labels", "name", "values")

    def __init__(self, name: str, about: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.about = about
        self.labels = tuple(labels)
        self.values: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}

    def add(self, *labels: str, by: float = 1.0) -> None:
        """Increase the series with these labels by ``by``."""
        values = self.values
        if labels not in values:
            labels = _limit_labels(labels, len(values))
        values[labels] = values.get(labels, 0.0) + by


class Histogram:
    """A distribution of values in buckets.

    :param bounds: ascending upper bounds of the buckets; one more bucket counts the values above all of them.
    """

    __slots__ = ("about", "bounds", "labels", "name", "values")

    def __init__(self, name: str, about: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> None:
        self.name = name
        self.about = about
        self.labels = tuple(labels)
        self.bounds = tuple(bounds)
        self.values: dict[tuple[str, ...], BucketCounts] = {} if labels else {(): BucketCounts(len(bounds))}

    def observe(self, value: float, *labels: str) -> None:
        """Count one value."""
        series = self.values.get(labels)
        if series is None:
            labels = _limit_labels(labels, len(self.values))
            series = self.values.setdefault(labels, BucketCounts(len(self.bounds)))
        series.counts[bisect_left(self.bounds, value)] += 1
        series.total += value


class BucketCounts:
    """The counts of one histogram series, one per bucket; the last bucket counts values above all bounds."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * (buckets + 1)
        self.total = 0.0


def _limit_labels(labels: tuple[str, ...], series_count: int) -> tuple[str, ...]:
    return labels if series_count < MAX_SERIES else (OTHER,) * len(labels)


_COMPONENT_LABELS = ("kind", "component")
_MODEL_LABELS = ("provider", "model")


class Metrics:
    """The metrics of one server. Each server has its own, because a process may contain several."""

    def __init__(self) -> None:
        self.runs_accepted = Counter("runs_accepted", "Runs accepted by this process.", _COMPONENT_LABELS)
        self.runs_ended = Counter(
            "runs_ended", "Runs that finished or paused in this process, by state.", (*_COMPONENT_LABELS, "state")
        )
        self.run_seconds = Histogram(
            "run_duration_seconds", "From a run's first start to its end.", RUNS, (*_COMPONENT_LABELS, "state")
        )
        self.wait_seconds = Histogram(
            "run_wait_seconds", "From when a run could have started to its first start.", WAITS, _COMPONENT_LABELS
        )
        self.first_text_seconds = Histogram(
            "run_first_text_seconds", "From a run's first start to its own first text.", WAITS, _COMPONENT_LABELS
        )
        self.attempts = Counter("attempts", "Attempts started by this process: first, later.", ("which",))
        self.recoveries = Counter("recoveries", "Runs that this process reassigned from a dead worker.")
        self.handovers = Counter("handovers", "Runs that this process released after a step when it stopped.")
        self.leases_lost = Counter("leases_lost", "Attempts that stopped because another attempt owns their run.")
        self.model_calls = Counter("model_calls", "Model calls by outcome.", (*_MODEL_LABELS, "outcome"))
        self.model_retries = Counter("model_retries", "Retries of model calls.", _MODEL_LABELS)
        self.model_seconds = Histogram(
            "model_call_duration_seconds", "Duration of a model call with its tries and waits.", WAITS, _MODEL_LABELS
        )
        self.model_first_seconds = Histogram(
            "model_first_token_seconds", "From a model call to the first chunk of its answer.", WAITS, _MODEL_LABELS
        )
        self.model_tokens = Counter(
            "model_tokens", "Tokens of answered model calls, by kind.", (*_MODEL_LABELS, "kind")
        )
        self.model_cost = Counter(
            "model_cost_dollars", "List price of answered model calls, in US dollars.", _MODEL_LABELS
        )
        self.tool_calls = Counter(
            "tool_calls", "Tool calls, delegations and steps of workflows by outcome.", ("kind", "outcome")
        )
        self.tool_seconds = Histogram(
            "tool_call_duration_seconds",
            "Duration of a tool call, a delegation or a step of a workflow.",
            WAITS,
            ("kind",),
        )
        self.memory_updates = Counter(
            "memory_updates", "Updates of memories by completed runs, by outcome.", ("outcome",)
        )
        self.removed = Counter("retention_removed", "Runs and sessions that retention in this process removed.")
        self.stream_overflows = Counter("stream_overflows", "How often too much waited in memory for a subscriber.")
        self.webhook_posts = Counter(
            "webhook_posts", "Requests to webhooks, by the outcome of the delivery.", ("outcome",)
        )
        self.wrong_tokens = Counter("wrong_tokens", "Requests with a wrong key or token.")
        self.commit_seconds = Histogram("store_commit_seconds", "Duration of a database commit, shared or not.", SHORT)
        self.commit_group = Histogram("store_commit_transactions", "Transactions that shared a commit.", SIZES)
        self.requests = Counter("http_requests", "Requests by operation and status class.", ("operation", "status"))
        self.request_seconds = Histogram(
            "http_request_duration_seconds", "From a request to the start of its response.", WAITS, ("operation",)
        )
        self.loop_lag_seconds = Histogram(
            "event_loop_lag_seconds", "Delay of the event loop's wake-up, measured each second.", SHORT
        )

    @property
    def counters(self) -> list[Counter]:
        """All counters."""
        return [metric for metric in vars(self).values() if isinstance(metric, Counter)]

    @property
    def histograms(self) -> list[Histogram]:
        """All histograms."""
        return [metric for metric in vars(self).values() if isinstance(metric, Histogram)]

    def model_answered(self, provider: str, model: str, tokens: Sequence[tuple[str, int]], cost: float | None) -> None:
        """Count the tokens and cost of a successful model call."""
        for kind, count in tokens:
            if count:
                self.model_tokens.add(provider, model, kind, by=count)
        if cost:
            self.model_cost.add(provider, model, by=cost)

    def run_began(self, kind: str, component: str, attempt: int, waited_seconds: float | None) -> None:
        """Count an attempt that starts.

        :param waited_seconds: since the run could have started; None if unknown.
        """
        self.attempts.add("first" if attempt == 1 else "later")
        if attempt == 1 and waited_seconds is not None:
            self.wait_seconds.observe(max(waited_seconds, 0.0), kind, component)

    def run_ended(self, kind: str, component: str, state: str, seconds: float | None) -> None:
        """Count a run that finished or paused.

        :param seconds: since its first start; None if it never started, or paused.
        """
        self.runs_ended.add(kind, component, state)
        if seconds is not None:
            self.run_seconds.observe(seconds, kind, component, state)
