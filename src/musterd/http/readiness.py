"""Readiness: whether this process can do its work, check by check.

Who asks at once shares one look, and a look writes at most once a second: whoever asks is not known.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from musterd.core import clock
from musterd.core.errors import StartError, StoreUnavailable
from musterd.store import stats, workers
from musterd.store.upgrade import HEAD, require_known

if TYPE_CHECKING:
    from musterd.http.server import Server

WRITTEN_SECONDS = 1.0
"""How long it counts that the database could be written."""
LONGEST_SECONDS = 4.0
"""How long one check of the database may take; a prober waits no longer either."""
SERVED = "served"
UNDRIVEN = "Runs wait of teams or agents that no process drives: {}. Start a worker for them."
STUCK_SECONDS = 5.0
"""A loop that woke up so late holds up everything."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, and what is the matter in words; None: nothing."""

    name: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found.

    :param undriven: components that runs wait of and that no process drives, though they are served here.
    :param not_served: the same of those that are not.
    """

    checks: list[Check] = field(default_factory=list)
    undriven: list[str] = field(default_factory=list)
    not_served: list[str] = field(default_factory=list)

    def problems(self, *, with_names: bool) -> dict[str, str]:
        """What is the matter, by the names of the checks that fail.

        :param with_names: whether it is said which components are undriven.
        """
        found = {check.name: check.problem for check in self.checks if check.problem is not None}
        if self.undriven:
            found[SERVED] = UNDRIVEN.format(", ".join(self.undriven) if with_names else len(self.undriven))
        return found


class Readiness:
    """Looks whether this process can do its work."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._looking: asyncio.Task[Found] | None = None
        self._written_at: float | None = None

    async def look(self) -> Found:
        """What every check says; those who ask at once share one look."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)

    async def _look(self) -> Found:
        undriven: list[str] = []
        not_served: list[str] = []

        async def served() -> str | None:
            for name in await self._server.engine.unserved():
                (undriven if name in self._server.served else not_served).append(name)
            return None

        checks = [self._accepting(), self._worker(), self._beats(), self._loop()]
        for name, look in (("database", self._writable), ("schema", self._known), (SERVED, served)):
            checks.append(await _asked(name, look))
        return Found(checks, undriven, not_served)

    def _accepting(self) -> Check:
        server = self._server
        is_accepting = server.engine.is_ready and not server.is_stopping
        return Check("accepting", None if is_accepting else "The server is not ready; try again.")

    def _worker(self) -> Check:
        problem = "This process does not claim runs any more. Start it anew."
        return Check("worker", None if self._server.engine.is_claiming else problem)

    def _beats(self) -> Check:
        settings = self._server.settings
        silent, limit = self._server.engine.silent_seconds, max(settings.dead_seconds, 2 * settings.beat_seconds)
        problem = f"This process has not shown that it lives for {silent:.0f} s."
        return Check("beats", None if silent <= limit else problem)

    def _loop(self) -> Check:
        late = self._server.lag.last_seconds
        problem = f"The event loop woke up {late:.1f} s late: something holds it up."
        return Check("event_loop", None if late < STUCK_SECONDS else problem)

    async def _writable(self) -> str | None:
        now, worker = clock.monotonic(), self._server.engine.worker
        if self._written_at is None or now - self._written_at > WRITTEN_SECONDS:
            await self._server.database.write(lambda tx: workers.show(tx, worker))
            self._written_at = now
        return None

    async def _known(self) -> str | None:
        found = await self._server.database.read(stats.schema)
        try:
            require_known("The database", found.revision, found.oldest_writer)
        except StartError as error:
            return f"{error.message}."
        if found.revision < HEAD:
            return f"The database has an older schema ({found.revision}) than when this process began. Start it anew."
        return None


async def _asked(name: str, look: Callable[[], Awaitable[str | None]]) -> Check:
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            return Check(name, await look())
    except StoreUnavailable:
        return Check(name, "The database cannot be used now.")
    except TimeoutError:
        return Check(name, f"The database did not answer within {LONGEST_SECONDS:g} s.")
