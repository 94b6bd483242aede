"""Figures: what a process counts of its own work, for whoever is on call.

Counting is a dictionary's cell and costs a fraction of a microsecond, so it happens where things happen. What the
figures are called on the wire, and that there is such a thing as Prometheus, is known to :mod:`musterd.http.metrics`.

Labels are names that this server declares or states that it has: never what a client sent.
"""

from bisect import bisect_left
from collections.abc import Sequence

MOST_SERIES = 1000
"""Series that one figure may have; what comes beyond them is counted under :data:`OTHER`."""
OTHER = "other"

WAITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
RUNS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class Counter:
    """Something that only grows.

    :param name: what it is called, without the unit's or the kind's ending that is added on the wire.
    :param about: what it counts, in words.
    :param labels: the names of its labels, in the order in which they are given.
    """

    __slots__ = ("about", "labels", "name", "values")

    def __init__(self, name: str, about: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.about = about
        self.labels = tuple(labels)
        self.values: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}

    def add(self, *labels: str, by: float = 1.0) -> None:
        """Count one more, or so many."""
        values = self.values
        if labels not in values:
            labels = _bounded(labels, len(values))
        values[labels] = values.get(labels, 0.0) + by


class Histogram:
    """How something is spread: how often it was at most so much.

    :param bounds: upper bounds of the buckets, rising; what is above them all is counted too.
    """

    __slots__ = ("about", "bounds", "labels", "name", "values")

    def __init__(self, name: str, about: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> None:
        self.name = name
        self.about = about
        self.labels = tuple(labels)
        self.bounds = tuple(bounds)
        self.values: dict[tuple[str, ...], Spread] = {} if labels else {(): Spread(len(bounds))}

    def observe(self, value: float, *labels: str) -> None:
        """Note one value."""
        found = self.values.get(labels)
        if found is None:
            labels = _bounded(labels, len(self.values))
            found = self.values.setdefault(labels, Spread(len(self.bounds)))
        found.counts[bisect_left(self.bounds, value)] += 1
        found.total += value


class Spread:
    """The counts of one series of a histogram: a bucket each, the last for what is above them all."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * (buckets + 1)
        self.total = 0.0


def _bounded(labels: tuple[str, ...], series: int) -> tuple[str, ...]:
    return labels if series < MOST_SERIES else (OTHER,) * len(labels)


_OF_COMPONENT = ("kind", "component")
_OF_MODEL = ("provider", "model")


class Metrics:
    """What one server counts. Each has its own: several may live in one process."""

    def __init__(self) -> None:
        self.runs_accepted = Counter("runs_accepted", "Runs that were accepted here.", _OF_COMPONENT)
        self.runs_ended = Counter(
            "runs_ended", "Runs that ended here, by their state; paused ones may go on.", (*_OF_COMPONENT, "state")
        )
        self.run_seconds = Histogram(
            "run_duration_seconds", "From a run's first start to its end.", RUNS, (*_OF_COMPONENT, "state")
        )
        self.wait_seconds = Histogram(
            "run_wait_seconds", "From when a run could have begun to its first start.", WAITS, _OF_COMPONENT
        )
        self.first_text_seconds = Histogram(
            "run_first_text_seconds", "From a run's first start to its own first text.", WAITS, _OF_COMPONENT
        )
        self.attempts = Counter("attempts", "Attempts that began here: first, later.", ("which",))
        self.recoveries = Counter("recoveries", "Runs that this process took from a dead worker.")
        self.handovers = Counter("handovers", "Runs that this process gave up at a step, for another to go on with.")
        self.leases_lost = Counter("leases_lost", "Attempts that stopped here because another has their run.")
        self.model_calls = Counter("model_calls", "Model calls by how they ended.", (*_OF_MODEL, "outcome"))
        self.model_retries = Counter(
            "model_retries", "Tries of model calls that failed and were made again.", _OF_MODEL
        )
        self.model_seconds = Histogram(
            "model_call_duration_seconds", "A model call with its tries and waits.", WAITS, _OF_MODEL
        )
        self.model_first_seconds = Histogram(
            "model_first_token_seconds", "From a model call to the first piece of its answer.", WAITS, _OF_MODEL
        )
        self.model_tokens = Counter("model_tokens", "Tokens of answered model calls, by kind.", (*_OF_MODEL, "kind"))
        self.model_cost = Counter("model_cost_dollars", "List price of answered model calls, in US dollars.", _OF_MODEL)
        self.tool_calls = Counter("tool_calls", "Tool calls and delegations by how they ended.", ("kind", "outcome"))
        self.tool_seconds = Histogram("tool_call_duration_seconds", "A tool call or delegation.", WAITS, ("kind",))
        self.removed = Counter("retention_removed", "Runs and sessions that this process removed for their age.")
        self.readers_dropped = Counter("readers_dropped", "Readers of streams that were dropped: they lagged behind.")
        self.webhook_posts = Counter(
            "webhook_posts", "Requests to webhooks, by the outcome of the delivery.", ("outcome",)
        )
        self.wrong_tokens = Counter("wrong_tokens", "Requests that showed a wrong key or token.")
        self.commit_seconds = Histogram("store_commit_seconds", "A commit of the database, shared or not.", SHORT)
        self.commit_group = Histogram("store_commit_transactions", "Transactions that shared a commit.", SIZES)
        self.requests = Counter("http_requests", "Requests by operation and class of status.", ("operation", "status"))
        self.request_seconds = Histogram(
            "http_request_duration_seconds", "From a request to the beginning of its answer.", WAITS, ("operation",)
        )
        self.loop_lag_seconds = Histogram(
            "event_loop_lag_seconds", "How late the event loop woke up, each second.", SHORT
        )

    @property
    def counters(self) -> list[Counter]:
        """All that only grows."""
        return [found for found in vars(self).values() if isinstance(found, Counter)]

    @property
    def histograms(self) -> list[Histogram]:
        """All that is spread."""
        return [found for found in vars(self).values() if isinstance(found, Histogram)]

    def model_answered(self, provider: str, model: str, tokens: Sequence[tuple[str, int]], cost: float | None) -> None:
        """Count what an answered model call used."""
        for kind, count in tokens:
            if count:
                self.model_tokens.add(provider, model, kind, by=count)
        if cost:
            self.model_cost.add(provider, model, by=cost)

    def run_began(self, kind: str, component: str, attempt: int, waited_seconds: float | None) -> None:
        """Count an attempt that begins.

        :param waited_seconds: since the run could have begun; None where nobody knows.
        """
        self.attempts.add("first" if attempt == 1 else "later")
        if attempt == 1 and waited_seconds is not None:
            self.wait_seconds.observe(max(waited_seconds, 0.0), kind, component)

    def run_ended(self, kind: str, component: str, state: str, seconds: float | None) -> None:
        """Count a run that ended, or paused.

        :param seconds: since its first start; None where it never began, or may go on.
        """
        self.runs_ended.add(kind, component, state)
        if seconds is not None:
            self.run_seconds.observe(seconds, kind, component, state)
