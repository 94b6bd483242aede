"""The state of the server as it is answered: the shapes, and how each is made of what was gathered."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.metrics import Counter, Histogram, Metrics
from musterd.models.names import provider_of
from musterd.store.stats import DatabaseSize, DatabaseStats
from musterd.store.workers import AnnouncedWorker
from musterd.wire.times import rounded_to_ms


class Check(TypedDict):
    """One check of this process."""

    name: Annotated[str, Field(description="As in `GET /-/ready`.")]
    ok: bool
    problem: str | None


class ProcessStatus(TypedDict):
    """One process on the database."""

    id: Annotated[str, Field(description="The id of its worker, as in the runs that it drives.")]
    is_this: Annotated[bool, Field(description="Whether it is the process that answers.")]
    version: str
    role: Annotated[str, Field(description="`server`: answers and drives runs; `worker`: drives runs; `api`: answers.")]
    host: str
    pid: int
    started_at: float
    last_beat_at: Annotated[
        float | None,
        Field(description="When its heartbeat last advanced, as far as this process knows; null if unknown."),
    ]
    runs: Annotated[int, Field(description="How many runs it drives.")]


class SlotStatus(TypedDict):
    """The slots of this process."""

    used: int
    limit: int


class QueueStatus(TypedDict):
    """Unfinished root runs by state."""

    ready: int
    queued: int
    scheduled: int
    paused: int
    running: int
    oldest_wait_seconds: Annotated[float, Field(description="How long the oldest ready run has waited; 0 if none.")]
    approvals: Annotated[int, Field(description="Calls that wait for a person.")]


class DatabaseStatus(TypedDict):
    """The database."""

    kind: Literal["sqlite", "postgres"]
    is_up: bool
    version: str | None
    size_bytes: int | None
    schema: str | None
    commit_seconds: Annotated[float | None, Field(description="The mean duration of a commit of this process.")]


class UpkeepStatus(TypedDict):
    """The upkeep of this process since its start."""

    last_done_at: Annotated[float | None, Field(description="Null if this process does none.")]
    reassigned: Annotated[int, Field(description="Runs that it took from dead processes.")]
    removed: Annotated[int, Field(description="Runs and sessions that it removed because they were old.")]
    retention_days: Annotated[float | None, Field(description="Null: nothing is removed.")]


class ModelStatus(TypedDict):
    """A model in use, and its calls by this process since its start."""

    id: Annotated[str, Field(description="The provider's name of the model.")]
    provider: str
    calls: int
    failed: int
    retries: int
    tokens: int
    cost: Annotated[float | None, Field(description="US dollars; null without a list price or a call.")]
    first_token_seconds: Annotated[float | None, Field(description="The mean time to the first chunk of an answer.")]


class StatusResponse(TypedDict):
    """The state of the server. Times are unix seconds."""

    version: str
    started_at: float
    now: float
    checks: list[Check]
    processes: list[ProcessStatus]
    slots: SlotStatus
    queue: Annotated[QueueStatus | None, Field(description="Null if the database cannot be read now.")]
    database: DatabaseStatus
    upkeep: UpkeepStatus
    models: list[ModelStatus]
    streams_open: Annotated[int, Field(description="Streams that this process serves.")]
    event_loop_lag_seconds: float


# --- answers ------------------------------------------------------------------------------------------


def process_status(worker: AnnouncedWorker, *, is_this: bool, last_beat_at: float | None) -> ProcessStatus:
    """One process on the database."""
    process = worker.process
    return {
        "id": worker.id,
        "is_this": is_this,
        "version": process.version,
        "role": process.role,
        "host": process.host,
        "pid": process.pid,
        "started_at": round(process.started_at, 3),
        "last_beat_at": rounded_to_ms(last_beat_at),
        "runs": worker.runs,
    }


def queue_status(database: DatabaseStats) -> QueueStatus:
    """Unfinished root runs by state."""
    return {
        "ready": database.runs["ready"],
        "queued": database.runs["queued"],
        "scheduled": database.runs["scheduled"],
        "paused": database.runs["paused"],
        "running": database.runs["running"],
        "oldest_wait_seconds": round(database.oldest_ready_seconds, 3),
        "approvals": database.approvals,
    }


def database_status(url: str, size: DatabaseSize | None, schema: str | None, metrics: Metrics) -> DatabaseStatus:
    """The database.

    :param size: None: it does not answer.
    """
    return {
        "kind": "sqlite" if url.startswith("sqlite:") else "postgres",
        "is_up": size is not None,
        "version": None if size is None else size.version,
        "size_bytes": None if size is None else size.bytes,
        "schema": schema,
        "commit_seconds": mean_of(metrics.commit_seconds, ()),
    }


def model_status(model: str, provider: str, metrics: Metrics) -> ModelStatus:
    """The calls of a model. Metrics name providers as the SDK does."""

    def count(counter: Counter, *kinds: str) -> float:
        values = list(counter.values.items())
        return sum(n for labels, n in values if is_its(labels) and (not kinds or labels[2] in kinds))

    def is_its(labels: tuple[str, ...]) -> bool:
        return labels[1] == model and provider_of(labels[0]) == provider

    has_cost = any(is_its(labels) for labels in list(metrics.model_cost.values))
    first = next((labels for labels in list(metrics.model_first_seconds.values) if is_its(labels)), None)
    return {
        "id": model,
        "provider": provider,
        "calls": int(count(metrics.model_calls)),
        "failed": int(count(metrics.model_calls, "failed")),
        "retries": int(count(metrics.model_retries)),
        "tokens": int(count(metrics.model_tokens, "input", "output")),
        "cost": round(count(metrics.model_cost), 6) if has_cost else None,
        "first_token_seconds": None if first is None else mean_of(metrics.model_first_seconds, first),
    }


def mean_of(histogram: Histogram, labels: tuple[str, ...]) -> float | None:
    """The mean of a series; None if it has no value."""
    series = histogram.values.get(labels)
    count = 0 if series is None else sum(series.counts)
    return None if series is None or not count else round(series.total / count, 4)
