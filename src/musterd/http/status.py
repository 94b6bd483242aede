"""The state of the server and of all processes on its database, for people who watch it.

The same figures as the metrics for Prometheus, as JSON, with the checks of the readiness probe and the processes.
"""

import asyncio
from dataclasses import dataclass

from starlette.requests import Request

import musterd
from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.engine.bus import Bus
from musterd.http.auth.scopes import principal_of
from musterd.http.operation import operation
from musterd.http.readiness import SERVED, Readiness
from musterd.http.server import Server
from musterd.http.status_answers import (
    ProcessStatus,
    StatusResponse,
    database_status,
    model_status,
    process_status,
    queue_status,
)
from musterd.store import stats, workers
from musterd.store.database import Tx
from musterd.store.stats import DatabaseSize, DatabaseStats
from musterd.store.workers import AnnouncedWorker
from musterd.wire.components import Model, model_items
from musterd.wire.times import rounded_to_ms

READ_SECONDS = 4.0
"""How long to wait for the database before the rest is answered without it."""


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
    worker, metrics, settings = server.worker, server.metrics, server.settings
    return {
        "version": musterd.__version__,
        "started_at": round(server.card.started_at, 3),
        "now": round(clock.now(), 3),
        "checks": [{"name": name, "ok": name not in problems, "problem": problems.get(name)} for name in names],
        "processes": [] if stored is None else [_process(announced, server.bus) for announced in stored.workers],
        "slots": {"used": len(worker.live_attempts()), "limit": settings.concurrency},
        "queue": None if stored is None else queue_status(stored.stats),
        "database": database_status(
            settings.db, None if stored is None else stored.size, None if stored is None else stored.schema, metrics
        ),
        "upkeep": {
            "last_done_at": rounded_to_ms(worker.upkeep.last_done_at),
            "reassigned": int(sum(metrics.recoveries.values.values())),
            "removed": int(sum(metrics.removed.values.values())),
            "retention_days": settings.retention_days,
        },
        "models": [model_status(model["id"], model["provider"], metrics) for model in _models(server)],
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


def _process(worker: AnnouncedWorker, bus: Bus) -> ProcessStatus:
    is_this, last_beat_at = worker.id == bus.membership.worker_id, bus.membership.last_beat_at(worker.id)
    return process_status(worker, is_this=is_this, last_beat_at=last_beat_at)


def _models(server: Server) -> list[Model]:
    return model_items([*server.registry.teams.values(), *server.registry.agents.values()], server.describe)


OPERATIONS = [get_status]
