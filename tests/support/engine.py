"""An engine in the test process, without HTTP, with a database and a model that tests can block."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from musterd import Agent, Settings, Team, Workflow
from musterd.app import FEATURES
from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.events import Event
from musterd.core.records import Input, RunRow, RunView
from musterd.declare import BaseComponent, Registry
from musterd.engine.process_role import ProcessRole
from musterd.engine.worker import Worker
from musterd.http.server import Server
from musterd.service.run_ref import RunRef
from musterd.service.runs import RunRequest
from musterd.service.subscription import RunSubscription
from musterd.store import cancels
from musterd.store.acceptance import Accepted
from musterd.store.database import Statement, Tx
from musterd.store.postgres import PostgresDatabase
from tests.support.held_model import HeldModel
from tests.support.store import Records, of_run

NOBODY = Caller()
PATIENCE_SECONDS = 120.0  # longer than a busy machine takes, shorter than the time limit of a test


class EngineHarness:
    """An engine with the services that surround it in a server."""

    def __init__(
        self, registry: Registry, settings: Settings, model: HeldModel, role: ProcessRole | None = None
    ) -> None:
        self.server = Server(registry, settings, FEATURES, role)
        self.registry, self.settings, self.model = registry, settings, model
        self.database, self.broadcaster, self.engine = self.server.database, self.server.broadcaster, self.server.worker
        self.runs, self.sessions = self.server.runs, self.server.sessions
        self.records = Records(self.database)

    def component(self, component_id: str = "") -> BaseComponent:
        """The served component; by default the only one."""
        served = {component.id: component for component in self.registry.top_level()}
        return served[component_id] if component_id else next(iter(served.values()))

    async def start(
        self, message: str, run_id: str = "", session: str | None = "s1", *, of: str = "", **options: Any
    ) -> Accepted:
        """Accept a run."""
        request = RunRequest(
            input=Input(message=message, options=options.pop("options", {})),
            run_id=run_id or clock.new_id(),
            has_chosen_id=bool(run_id),
            session_id=session,
            **options,
        )
        return await self.runs.start(self.component(of), request, NOBODY)

    async def end_of(self, run_id: str, *, of: str = "") -> RunView:
        """The run once it has ended."""
        view = await self.runs.settled_view(RunRef(self.component(of), run_id, None, NOBODY), PATIENCE_SECONDS)
        assert view.row.state.is_settled, f"{run_id} is {view.row.state} after {PATIENCE_SECONDS} s"
        return view

    async def members(self, run_id: str) -> list[RunView]:
        """The member runs of a root."""
        return await self.runs.members(await self.records.row(run_id))

    async def run(self, message: str, run_id: str = "", session: str | None = "s1", **options: Any) -> RunView:
        """Accept a run and wait for its end."""
        accepted = await self.start(message, run_id, session, **options)
        return await self.end_of(accepted.run.run_id, of=options.get("of", ""))

    async def cancel(self, run_id: str, *, of: str = "") -> RunRow:
        """Cancel a run."""
        return (await self.runs.cancel(RunRef(self.component(of), run_id, None, NOBODY))).view.row

    async def ask_to_cancel(self, run_id: str) -> None:
        """Store and announce a cancel without waiting until the run has stopped."""
        now = clock.now()
        done = await self.database.write(of_run(cancels.request, run_id, "client", now))
        assert done is not None
        self.runs._announce_cancel(done)

    async def stored(self, run_id: str) -> list[tuple[int, Event]]:
        """The stored events."""
        return await self.records.events(run_id)

    async def wait_for_event(self, run_id: str, is_it: Callable[[Event], bool]) -> int:
        """Wait until a matching event is stored, and return its index."""
        reading = self.runs.subscribe(run_id)
        read = reading.stored
        try:
            while True:
                async for flush in read():
                    for offset, event in enumerate(flush.events):
                        if is_it(event):
                            return flush.first_index + offset
                read = reading.available  # it reads the store again if it has to, which live flushes alone do not
                if reading.is_closed or not await reading.wait(PATIENCE_SECONDS):
                    break
        finally:
            reading.close()
        raise AssertionError(f"no such event of {run_id} was emitted")

    async def stored_so_far(self) -> None:
        """Flush the window that is due."""
        for _ in range(3):  # its timer, its task, its transaction
            await asyncio.wait([asyncio.ensure_future(_no_work())])
        await self.written()

    async def written(self) -> None:
        """Wait until all writes are stored and their callers have been notified."""
        await self.database.write(_nothing)  # SQLite writes in turn
        if isinstance(self.database, PostgresDatabase):
            while self.database._writing:
                await asyncio.wait(set(self.database._writing))

    @contextlib.asynccontextmanager
    async def writes_held(self) -> AsyncIterator[None]:
        """Block writes, but not reads, inside this context."""
        connection = self.database.thread_connection()
        is_postgres = isinstance(self.database, PostgresDatabase)
        begin = ["BEGIN", "LOCK TABLE runs IN EXCLUSIVE MODE"] if is_postgres else ["BEGIN IMMEDIATE"]

        async def work(tx: Tx, texts: Sequence[str]) -> None:
            for text in texts:
                await tx.run(Statement(f"test {text}", text), {})

        try:
            await asyncio.to_thread(connection.do, lambda tx: work(tx, begin))
            yield
            await asyncio.to_thread(connection.do, lambda tx: work(tx, ["COMMIT"]))
        finally:
            connection.close()

    async def kill(self) -> None:
        """Interrupt every attempt; nothing more of it is stored."""
        await cut_off(self.engine)

    async def idle(self) -> None:
        """Wait until no run is driven, claimed or removed; then every slot is free."""
        engine = self.engine
        await self.written()
        while engine._live or engine._slots.reserved or engine._tasks:
            if tasks := [*(live.task for live in engine._live.values()), *engine._tasks]:
                await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)
            await self.written()
        assert engine._slots.free == self.settings.concurrency


async def _nothing(tx: Tx) -> None:
    pass


async def _no_work() -> None:
    pass


async def cut_off(engine: Worker) -> None:
    """End every attempt of an engine immediately, like a crash: nothing more is stored."""
    tasks = [live.task for live in engine._live.values()]
    for live in list(engine._live.values()):
        live.attempt.outbox.close()
        live.task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)


async def read_all(reading: RunSubscription, is_new: bool = True) -> list[tuple[int, Event]]:
    """Everything that a subscriber receives until the root's end, each event with its index."""
    events: list[tuple[int, Event]] = []
    if not is_new:
        async for flush in reading.stored():
            events += [(flush.first_index + offset, event) for offset, event in enumerate(flush.events)]
    while not any(event.run_id == reading.root_id and event.kind.value in ENDS for _, event in events):
        before = len(events)
        async for flush in reading.available():
            events += [(flush.first_index + offset, event) for offset, event in enumerate(flush.events)]
        if len(events) == before and (not await reading.wait(PATIENCE_SECONDS) or reading.is_closed):
            break
    reading.close()
    return events


ENDS = ("run_completed", "run_error", "run_cancelled")


def harness_on(
    url: str,
    agents: Iterable[Agent] = (),
    teams: Iterable[Team] = (),
    workflows: Iterable[Workflow] = (),
    *,
    model: HeldModel | None = None,
    role: ProcessRole | None = None,
    **settings: Any,
) -> EngineHarness:
    """An engine with the database ``url``, not started."""
    registry = Registry.of(agents=list(agents), teams=list(teams), workflows=list(workflows))
    quick: dict[str, Any] = {"model_retry_seconds": 0, "delta_seconds": 0.005, "drain_seconds": 0}
    patient = {"cancel_wait_seconds": PATIENCE_SECONDS}
    all_settings = Settings(**{"db": url, **quick, **patient, **settings})
    return EngineHarness(registry, all_settings, model or HeldModel(), role)


@contextlib.asynccontextmanager
async def running(harness: EngineHarness) -> AsyncIterator[EngineHarness]:
    """Drive runs inside this context."""
    async with harness.server.running():
        yield harness
