"""The state of the server and of all processes on its database, for people who watch it.

The same figures as the metrics for Prometheus, as JSON, with the checks of the readiness probe and the processes.
"""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from starlette.requests import Request
from typing_extensions import TypedDict

import musterd
from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.core.metrics import Counter, Histogram, Metrics
from musterd.engine.worker import Worker
from musterd.http.auth.scopes import principal_of
from musterd.http.operation import operation
from musterd.http.readiness import SERVED, Readiness
from musterd.http.server import Server
from musterd.models.names import provider_of
from musterd.store import stats, workers
from musterd.store.database import Tx
from musterd.store.stats import DatabaseSize, DatabaseStats
from musterd.store.workers import AnnouncedWorker
from musterd.wire.components import Model, model_items

READ_SECONDS = 4.0
"""How long to wait for the database before the rest is answered without it."""

# --- shapes -------------------------------------------------------------------------------------------


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


# --- the operation ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the database says of itself and of the processes."""

    stats: DatabaseStats
    size: DatabaseSize
    schema: str
    workers: list[AnnouncedWorker]


@operation("GET", "/-/status", "get_status", scope="system:metrics", tag="Health", summary="Status")
async def get_status(server: Server, readiness: Readiness, request: Request) -> StatusResponse:
    """Get the checks, processes, work, database and models of this server: the metrics for people.

    `slots`, `upkeep`, `models`, `streams_open` and `checks` are about the process that answers; the others are the same
    everywhere. Answered with what is known while the database is unavailable. Names of components in a problem are
    given to administrators only.
    """
    report, stored = await readiness.look(), await _stored(server)
    problems = report.problems(with_names=principal_of(request).scopes.is_admin)
    names = dict.fromkeys([*(check.name for check in report.checks), SERVED])
    engine, metrics, settings = server.engine, server.metrics, server.settings
    return {
        "version": musterd.__version__,
        "started_at": round(server.card.started_at, 3),
        "now": round(clock.now(), 3),
        "checks": [{"name": name, "ok": name not in problems, "problem": problems.get(name)} for name in names],
        "processes": [] if stored is None else [_process(worker, engine) for worker in stored.workers],
        "slots": {"used": len(engine.live_attempts()), "limit": settings.concurrency},
        "queue": None if stored is None else _queue(stored.stats),
        "database": {
            "kind": "sqlite" if settings.db.startswith("sqlite:") else "postgres",
            "is_up": stored is not None,
            "version": None if stored is None else stored.size.version,
            "size_bytes": None if stored is None else stored.size.bytes,
            "schema": None if stored is None else stored.schema,
            "commit_seconds": _mean(metrics.commit_seconds, ()),
        },
        "upkeep": {
            "last_done_at": _milliseconds(engine.upkeep.last_done_at),
            "reassigned": int(sum(metrics.recoveries.values.values())),
            "removed": int(sum(metrics.removed.values.values())),
            "retention_days": settings.retention_days,
        },
        "models": [_model(model["id"], model["provider"], metrics) for model in _models(server)],
        "streams_open": server.reader_count,
        "event_loop_lag_seconds": round(server.lag.last_seconds, 3),
    }


async def _stored(server: Server) -> _Stored | None:
    """What the database says; None if it does not answer."""
    now = clock.now()

    async def read(tx: Tx) -> _Stored:
        schema = await stats.schema(tx)
        return _Stored(await stats.read(tx, now), await stats.size(tx), schema.revision, await workers.announced(tx))

    try:
        async with asyncio.timeout(READ_SECONDS):
            return await server.database.scan(read)
    except (StoreUnavailable, TimeoutError):
        return None


def _process(worker: AnnouncedWorker, engine: Worker) -> ProcessStatus:
    process = worker.process
    return {
        "id": worker.id,
        "is_this": worker.id == engine.worker_id,
        "version": process.version,
        "role": process.role,
        "host": process.host,
        "pid": process.pid,
        "started_at": round(process.started_at, 3),
        "last_beat_at": _milliseconds(engine.last_beat_at(worker.id)),
        "runs": worker.runs,
    }


def _queue(database: DatabaseStats) -> QueueStatus:
    return {
        "ready": database.runs["ready"],
        "queued": database.runs["queued"],
        "scheduled": database.runs["scheduled"],
        "paused": database.runs["paused"],
        "running": database.runs["running"],
        "oldest_wait_seconds": round(database.oldest_ready_seconds, 3),
        "approvals": database.approvals,
    }


def _models(server: Server) -> list[Model]:
    return model_items([*server.registry.teams.values(), *server.registry.agents.values()], server.describe)


def _model(model: str, provider: str, metrics: Metrics) -> ModelStatus:
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
        "first_token_seconds": None if first is None else _mean(metrics.model_first_seconds, first),
    }


def _mean(histogram: Histogram, labels: tuple[str, ...]) -> float | None:
    """The mean of a series; None if it has no value."""
    series = histogram.values.get(labels)
    count = 0 if series is None else sum(series.counts)
    return None if series is None or not count else round(series.total / count, 4)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


OPERATIONS = [get_status]
