"""Records for the tests of the store: new runs, attempts that write, and the contents of tables."""

import json
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeVar

from musterd.core.callers import Caller
from musterd.core.events import Event, EventKind
from musterd.core.records import Input, Output, RunRow, StepKind, StepRow, StepState
from musterd.core.states import RunState
from musterd.store import acceptance, attempt_writes, cancels, claims, events, runs
from musterd.store.acceptance import Accepted, Candidate
from musterd.store.attempt_writes import Batch, End, Lease, MemberRecord, Settled
from musterd.store.cancels import StopResult
from musterd.store.database import Database, Params, Statement, Tx, Work
from musterd.store.rows import RUN_COLUMNS, run_row
from musterd.store.shards import SessionTx
from musterd.store.workers import WorkerProcess

T = TypeVar("T")
SALT = "6b0c3a52-0d0e-4b4e-9f0e-5f1f6f6f0a11"
TABLES = (
    "sessions",
    "runs",
    "run_io",
    "run_events",
    "journal",
    "run_attempts",
    "requests",
    "approvals",
    "blobs",
    "blob_uses",
    "deliveries",
    "workers",
    "memories",
    "daily_metrics",
)
COMPONENTS = ("agent:solo",)
NOBODY = Caller()
HERE = WorkerProcess(host="here", pid=1, started_at=1.0)


def statements_of(module: ModuleType) -> Iterator[Statement]:
    """The statements of a module, alone or in a mapping."""
    for value in vars(module).values():
        members = value.values() if isinstance(value, Mapping) else [value]
        yield from (member for member in members if isinstance(member, Statement))


def promoted_id(done: Settled | StopResult) -> str | None:
    """The id of the run that an end, a pause or a cancel has promoted."""
    return None if done.promoted is None else done.promoted.run_id


def new_run(run_id: str, session_id: str = "s1", **changes: Any) -> RunRow:
    """A root run as the service creates it."""
    values: dict[str, Any] = {
        "root_id": run_id,
        "parent_id": None,
        "user_id": None,
        "component_kind": "agent",
        "component_id": "solo",
        "component_name": "Solo",
        "model": "scripted",
        "model_provider": "Scripted",
        "state": RunState.READY,
        "salt": SALT,
        "created_at": 100.0,
    }
    return RunRow(run_id=run_id, session_id=session_id, **{**values, **changes})


def member_of(root: RunRow, run_id: str, path: str = "t0/c0") -> MemberRecord:
    """A member run that starts."""
    run = new_run(run_id, root.session_id, state=RunState.RUNNING, path=path, component_id="helper", started_at=101.0)
    run.root_id, run.parent_id, run.salt = root.run_id, root.run_id, None
    return MemberRecord(run=run, input_text=json.dumps({"message": "a task"}))


def delta(run_id: str, text: str = "x", at: float = 1.0) -> Event:
    """A piece of text."""
    return Event(EventKind.CONTENT, run_id, at, {"text": text})


def step(root: RunRow, path: str, state: StepState = StepState.COMPLETED, **changes: Any) -> StepRow:
    """A journal step."""
    values: dict[str, Any] = {"kind": StepKind.TOOL, "fingerprint": "f", "started_at": 1.0}
    return StepRow(root_id=root.run_id, path=path, state=state, attempt=root.attempt, **{**values, **changes})


def lease_of(run: RunRow) -> Lease:
    """The lease of ``run`` after its claim."""
    return Lease(run.run_id, run.attempt, run.session_id)


def of_run(function: Callable[..., Coroutine[Any, Any, T]], run_id: str, *args: Any, **options: Any) -> Work[T]:
    """The work that calls a function of the store for a run, in the transaction of the run's session."""

    async def work(tx: Tx) -> T:
        session_id = await runs.session_of(tx, run_id)
        return await function(SessionTx(tx, session_id or ""), run_id, *args, **options)

    return work


@dataclass
class Records:
    """The store, with shortcuts for tests."""

    database: Database
    now: float = 100.0
    queue_depth: int = 1000
    worker: str = "w1"
    components: Sequence[str] = field(default=COMPONENTS)

    def _tick(self) -> float:
        self.now += 1
        return self.now

    def candidate(self, run: RunRow, *, slot: str | None = None, **changes: Any) -> Candidate:
        """The acceptance request of ``run``."""
        values: dict[str, Any] = {
            "input": Input(message=f"hello {run.run_id}"),
            "caller": NOBODY,
            "fingerprint": "same",
            "has_chosen_id": False,
            "slot_worker": slot,
            "queue_depth": self.queue_depth,
        }
        return Candidate(run=run, **{**values, **changes})

    async def accept(
        self, run_id: str, session_id: str = "s1", *, slot: str | None = None, row: Params | None = None, **changes: Any
    ) -> Accepted:
        """Accept a run; later runs have later times."""
        run = new_run(run_id, session_id, **{"created_at": self._tick(), **(row or {})})
        asking = self.candidate(run, slot=slot, **changes)
        return await self.database.write(lambda tx: acceptance.accept(tx, asking))

    async def started(self, run_id: str, session_id: str = "s1", **changes: Any) -> RunRow:
        """Accept a run that is driven at once."""
        accepted = await self.accept(run_id, session_id, slot=self.worker, **changes)
        assert accepted.run.state is RunState.RUNNING
        return accepted.run

    async def claim(self, limit: int = 10, worker: str | None = None) -> list[RunRow]:
        """Claim the ready runs."""
        now = self._tick()
        return await self.database.write(
            lambda tx: claims.claim(tx, worker or self.worker, self.components, limit, now)
        )

    async def append(self, run: RunRow, **batch: Any) -> int:
        """Store a batch of the attempt that ``run`` was claimed for."""
        return await self.database.write(lambda tx: attempt_writes.append(tx, lease_of(run), Batch(**batch)))

    async def settle(
        self,
        run: RunRow,
        state: RunState = RunState.COMPLETED,
        *,
        output: Output | None = None,
        messages: Sequence[str] = (),
        state_delta: dict[str, Any] | None = None,
        **batch: Any,
    ) -> Settled:
        """Finish ``run``."""
        end = End(
            state=state,
            at=self._tick(),
            output=output or Output(content="done"),
            messages=list(messages),
            state_delta=state_delta,
        )
        return await self.database.write(lambda tx: attempt_writes.finish(tx, lease_of(run), Batch(**batch), end))

    async def cancel(self, run_id: str, by: str = "client") -> StopResult | None:
        """Request a cancel."""
        now = self._tick()
        return await self.database.write(of_run(cancels.request, run_id, by, now))

    async def row(self, run_id: str) -> RunRow:
        """The run's row."""
        rows = await self.select(f"SELECT {RUN_COLUMNS} FROM runs WHERE run_id = :run_id", run_id=run_id)  # noqa: S608 - constants
        return run_row(rows[0])

    async def states(self) -> dict[str, str]:
        """Every run's state."""
        return {row["run_id"]: row["state"] for row in await self.select("SELECT run_id, state FROM runs")}

    async def events(self, root_id: str, after: int = -1, limit: int = 1000) -> list[tuple[int, Event]]:
        """The stored events after an index, each with its index."""
        page = await self.database.read(of_run(events.after, root_id, after, limit))
        return [(first + offset, event) for first, flush in page.flushes for offset, event in enumerate(flush)]

    async def position(self, run_id: str) -> int | None:
        """The number of runs ahead in the queue."""
        run = await self.row(run_id)
        return await self.database.read(lambda tx: runs.queue_position(tx, run))

    async def select(self, text: str, **params: Any) -> list[dict[str, Any]]:
        """Rows of a statement."""

        async def work(tx: Tx) -> list[dict[str, Any]]:
            rows = await tx.all(Statement(f"test {text}", text), params)
            return [{name: row[name] for name in row.keys()} for row in rows]  # noqa: SIM118 - iterating gives values

        return await self.database.scan(work)

    async def execute(self, text: str, **params: Any) -> None:
        """Change rows without the store."""

        async def work(tx: Tx) -> None:
            await tx.run(Statement(f"test {text}", text), params)

        await self.database.write(work)

    async def everything(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table."""
        return {table: await self.select(f"SELECT * FROM {table}") for table in TABLES}  # noqa: S608 - constants

    async def counts(self) -> dict[str, int]:
        """The number of rows of each table that is not empty."""
        return {table: len(rows) for table, rows in (await self.everything()).items() if rows}
