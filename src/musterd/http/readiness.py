"""Readiness checks: whether this process can do its work.

Anyone may call them, so concurrent requests share one result, and the database is written at most once a second.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from musterd.core import clock
from musterd.core.errors import StartError, StoreUnavailable
from musterd.store import stats, workers
from musterd.store.schema import HEAD, require_known

if TYPE_CHECKING:
    from musterd.http.server import Server

WRITTEN_SECONDS = 1.0
"""How long the result of a successful write to the database is reused."""
LONGEST_SECONDS = 4.0
"""How long one check of the database may take. Probes do not wait longer either."""
SERVED = "served"
NO_WORKER = "Runs are waiting for teams or agents that no process drives: {}. Start a worker for them."
STUCK_SECONDS = 5.0
"""If the event loop woke up this late, something blocks the whole process."""


@dataclass(frozen=True, slots=True)
class ReadinessCheck:
    """The result of one check: its name, and the problem as text, or None."""

    name: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class ReadinessReport:
    """The results of all checks.

    :param undriven: components of this server for which runs wait, but that no process drives.
    :param not_served: the same for components that this server does not serve.
    """

    checks: list[ReadinessCheck] = field(default_factory=list)
    undriven: list[str] = field(default_factory=list)
    not_served: list[str] = field(default_factory=list)

    def problems(self, *, with_names: bool) -> dict[str, str]:
        """The problems by the name of the failing check.

        :param with_names: whether to name the undriven components, or only count them.
        """
        problems = {check.name: check.problem for check in self.checks if check.problem is not None}
        if self.undriven:
            problems[SERVED] = NO_WORKER.format(", ".join(self.undriven) if with_names else len(self.undriven))
        return problems


class Readiness:
    """Runs the readiness checks of one server."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._checking: asyncio.Task[ReadinessReport] | None = None
        self._written_at: float | None = None

    async def look(self) -> ReadinessReport:
        """Run all checks. Concurrent requests share one result."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())
        return await asyncio.shield(self._checking)  # a client that disconnects must not cancel it for the others

    async def _check(self) -> ReadinessReport:
        undriven: list[str] = []
        not_served: list[str] = []

        async def find_unserved() -> str | None:
            for name in await self._server.worker.unserved():
                (undriven if name in self._server.served else not_served).append(name)
            return None

        checks = [self._accepting(), self._worker(), self._heartbeat(), self._event_loop()]
        if self._server.settings.bus:
            checks.append(self._bus())
        for name, check in (("database", self._writable), ("schema", self._schema), (SERVED, find_unserved)):
            checks.append(await _database_check(name, check))
        return ReadinessReport(checks, undriven, not_served)

    def _accepting(self) -> ReadinessCheck:
        server = self._server
        is_accepting = server.worker.is_ready and not server.is_stopping
        return ReadinessCheck("accepting", None if is_accepting else "The server is not ready; try again later.")

    def _worker(self) -> ReadinessCheck:
        problem = "This process no longer claims runs. Restart it."
        return ReadinessCheck("worker", None if self._server.worker.is_claiming else problem)

    def _heartbeat(self) -> ReadinessCheck:
        membership = self._server.bus.membership
        problem = f"The last heartbeat of this process was {membership.silent_seconds:.0f} s ago."
        return ReadinessCheck("beats", problem if membership.is_late else None)

    def _event_loop(self) -> ReadinessCheck:
        late = self._server.lag.last_seconds
        problem = f"The event loop woke up {late:.1f} s late: something blocks it."
        return ReadinessCheck("event_loop", None if late < STUCK_SECONDS else problem)

    def _bus(self) -> ReadinessCheck:
        problem = (
            "NATS cannot be reached. Runs continue, but processes notice each other's changes up to a second later."
        )
        return ReadinessCheck("bus", None if self._server.bus.is_connected else problem)

    async def _writable(self) -> str | None:
        now, worker = clock.monotonic(), self._server.worker.worker_id
        if self._written_at is None or now - self._written_at > WRITTEN_SECONDS:
            await self._server.database.write(lambda tx: workers.beat_always(tx, worker, clock.now()))
            self._written_at = now
        return None

    async def _schema(self) -> str | None:
        schema = await self._server.database.read(stats.schema)
        try:
            require_known("The database", schema.revision, schema.oldest_writer)
        except StartError as error:
            return f"{error.message}."
        if schema.revision < HEAD:
            older = f"The database has an older schema ({schema.revision}) than when this process started."
            return f"{older} Restart this process."
        return None


async def _database_check(name: str, check: Callable[[], Awaitable[str | None]]) -> ReadinessCheck:
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            return ReadinessCheck(name, await check())
    except StoreUnavailable:
        return ReadinessCheck(name, "The database cannot be used now.")
    except TimeoutError:
        return ReadinessCheck(name, f"The database did not answer within {LONGEST_SECONDS:g} s.")
