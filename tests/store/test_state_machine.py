"""Whatever happens to runs, in whatever order: the rules of docs/architecture.md, "States", hold after every act."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from musterd.core.errors import Conflict, LeaseLost, NotFound
from musterd.core.queueing import OnBusy
from musterd.core.records import Output, RunRow, ToolCall
from musterd.core.requirements import Decision, Requirement, RequirementKind, Verdict
from musterd.core.states import ACCEPTED_AS, FINAL, MEMBER_EDGES, PENDING, RunState, is_edge
from musterd.store import (
    attempt_writes,
    cancels,
    claims,
    decisions,
    delays,
    pauses,
    session_deletion,
    sessions,
    workers,
)
from musterd.store.attempt_writes import Batch, CancelStored, End, Lease, MemberRecord
from musterd.store.database import Database, Statement, Tx
from musterd.store.pauses import DecisionStored, Pause
from musterd.store.postgres import PostgresDatabase
from musterd.store.rows import RUN_COLUMNS, run_row
from musterd.store.sqlite import SqliteDatabase
from tests.support.store import COMPONENTS, TABLES, Records, delta, lease_of, member_of, of_run, promoted_id, step

T = TypeVar("T")
RUNS = Statement("test_runs", f"SELECT {RUN_COLUMNS}, expires_at FROM runs")  # noqa: S608 - constants
EVENTS = Statement("test_events", "SELECT root_id, first_index, count FROM run_events ORDER BY root_id, first_index")
APPROVALS = Statement("test_approvals", "SELECT id, root_id, path, state FROM approvals")
STEPS = Statement("test_steps", "SELECT root_id, path, state, attempt FROM journal")
LANES = Statement("test_lanes", "SELECT session_id, next_seq, deleted_at FROM sessions")
TABLES_READ = {"runs": RUNS, "events": EVENTS, "approvals": APPROVALS, "steps": STEPS, "sessions": LANES}
SESSIONS = ("s1", "s2", "deleted")
WORKERS = st.sampled_from(["w1", "w2"])
PICK = st.integers(0, 1000)
AT_WORK = (RunState.READY, RunState.RUNNING)
LIVE = tuple(state for state in RunState if not state.is_final)


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """A run that a client asks for; a slot is the worker that has one free."""

    session: str
    on_busy: OnBusy
    slot: str | None
    delay: float | None
    timeout: float | None
    priority: int
    hold_paused: bool


ACCEPTANCES = st.builds(
    Acceptance,
    session=st.sampled_from(["s1", *SESSIONS]),
    on_busy=st.sampled_from([OnBusy.ENQUEUE, OnBusy.ENQUEUE, OnBusy.INTERRUPT, *OnBusy]),
    slot=st.none() | WORKERS,
    delay=st.sampled_from([None] * 6 + [5.0, 50.0]),
    timeout=st.sampled_from([None] * 4 + [20.0, 200.0]),
    priority=st.integers(0, 2),
    hold_paused=st.booleans(),
)


class Snapshot:
    """What stood in the tables at one moment."""

    def __init__(self, tables: dict[str, list[dict[str, Any]]]) -> None:
        self.tables = tables
        rows = {row["run_id"]: run_row(row) for row in tables["runs"]}
        self.expires_at = {row["run_id"]: row["expires_at"] for row in tables["runs"]}
        self.roots = {run_id: row for run_id, row in rows.items() if row.parent_id is None}
        self.members = {run_id: row for run_id, row in rows.items() if row.parent_id is not None}

    @property
    def buried(self) -> set[str]:
        """The sessions that were deleted and still have rows."""
        return {row["session_id"] for row in self.tables["sessions"] if row["deleted_at"] is not None}

    def of(self, *states: RunState) -> list[RunRow]:
        """The root runs in one of these states, the oldest first."""
        return sorted((run for run in self.roots.values() if run.state in states), key=lambda run: run.created_at)

    def holder(self, lane: str) -> RunRow | None:
        """Who holds the line."""
        return next((run for run in self.roots.values() if run.holder == lane), None)

    def decided(self, root_id: str) -> list[str]:
        """Where decisions of a run stand that nobody has acted on."""
        return [
            row["path"] for row in self.tables["approvals"] if (row["root_id"], row["state"]) == (root_id, "decided")
        ]

    def next_in(self, lane: str) -> str | None:
        """Who comes next in the line: interrupters first, then by place."""
        queued = [run for run in self.of(RunState.QUEUED) if run.lane == lane]
        return min(queued, key=place).run_id if queued else None


def place(run: RunRow) -> tuple[bool, int]:
    """Where a queued run stands in its line."""
    return run.on_busy is not OnBusy.INTERRUPT, run.seq or 0


class Runs(RuleBasedStateMachine):
    """Everything that happens to runs."""

    def __init__(self, records: Records, drive: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        super().__init__()
        self.records = records
        self.drive = drive
        self.count = 0
        self.lost: list[Lease] = []
        records.now = 100.0
        self.write(clear)
        self.before = self.now = self.stands()

    def write(self, work: Callable[[Tx], Coroutine[Any, Any, T]]) -> T:
        """Do a store function's work; later works come later."""
        self.records.now += 1

        async def done() -> T:
            return await self.records.database.write(work)

        result: T = self.drive(done())
        return result

    def stands(self) -> Snapshot:
        """What stands in the tables now."""

        async def work(tx: Tx) -> dict[str, list[dict[str, Any]]]:
            rows = {name: await tx.all(statement, {}) for name, statement in TABLES_READ.items()}
            return {name: [{key: row[key] for key in row.keys()} for row in table] for name, table in rows.items()}  # noqa: SIM118 - iterating gives values

        async def done() -> Snapshot:
            return Snapshot(await self.records.database.read(work))

        snapshot: Snapshot = self.drive(done())
        return snapshot

    def refused(self, error: type[Exception], work: Callable[[Tx], Coroutine[Any, Any, object]]) -> None:
        """Do what is refused, and changes nothing."""
        with pytest.raises(error):
            self.write(work)
        assert self.stands().tables == self.now.tables

    def name(self, what: str) -> str:
        """A new name."""
        self.count += 1
        return f"{what}{self.count}"

    def pick(self, choices: list[T], number: int) -> T:
        """One of these."""
        return choices[number % len(choices)]

    def running(self, number: int) -> RunRow:
        """A run at work: its attempt is the current one."""
        return self.pick(self.now.of(RunState.RUNNING), number)

    # --- what happens -----------------------------------------------------------------------------

    @initialize(acceptances=st.lists(ACCEPTANCES, min_size=3, max_size=6))
    def begin(self, acceptances: list[Acceptance]) -> None:
        """Several runs are there from the start."""
        for one in acceptances:
            self.accept(one)
            self.look()

    @rule(acceptance=ACCEPTANCES)
    def accept(self, acceptance: Acceptance) -> None:
        now, session = self.records.now + 1, acceptance.session
        row: dict[str, Any] = {
            "on_busy": acceptance.on_busy,
            "priority": acceptance.priority,
            "hold_paused": acceptance.hold_paused,
        }
        row["not_before"] = now + acceptance.delay if acceptance.delay else None
        row["deadline_at"] = now + acceptance.timeout if acceptance.timeout else None
        asking = self.records.accept(self.name("r"), session, slot=acceptance.slot, row=row)
        holder = self.now.holder(session)
        is_refused = not acceptance.delay and acceptance.on_busy is OnBusy.REJECT and holder is not None
        if is_refused or session in self.now.buried:
            with pytest.raises(Conflict):
                self.drive(asking)
            return
        state = self.drive(asking).run.state
        if acceptance.delay:
            assert state is RunState.SCHEDULED
        elif acceptance.on_busy is OnBusy.PARALLEL or holder is None:
            assert state is (RunState.RUNNING if acceptance.slot else RunState.READY)
        elif acceptance.on_busy is not OnBusy.INTERRUPT or holder.state is not RunState.READY:
            assert state is RunState.QUEUED
        else:  # the one that held the line ends at once; another interrupter may have waited before
            assert state in (RunState.READY, RunState.QUEUED)

    @rule(
        worker=WORKERS,
        limit=st.integers(1, 2),
        count=st.sampled_from([claims.NO_SUSPECTS, claims.NO_SUSPECTS, (2, 2), (3, 9)]),
    )
    def claim(self, worker: str, limit: int, count: tuple[int, int]) -> None:
        now = self.records.now + 1
        claimed = self.write(lambda tx: claims.claim(tx, worker, COMPONENTS, limit, now, crashes=count))
        waiting = [
            (-run.priority, run.queued_at or 0.0)
            for run in self.now.of(RunState.READY)
            if count[0] <= run.crashes <= count[1] and (run.not_before is None or run.not_before <= now)
        ]
        assert [(-run.priority, run.queued_at or 0.0) for run in claimed] == sorted(waiting)[:limit]

    @precondition(lambda self: self.now.of(RunState.RUNNING))
    @rule(number=PICK, act=st.sampled_from(["append", "append", "end member", "pause", "pause", "settle", "hand over"]))
    def drive_on(self, number: int, act: str) -> None:
        """An attempt does something."""
        run = self.pick(self.now.of(RunState.RUNNING), number)
        acts = {"append": self.append, "end member": self.end_member, "pause": self.pause, "settle": self.settle}
        acts.get(act, self.hand_over)(run, number)

    def append(self, run: RunRow, number: int) -> None:
        batch, path = Batch(events=[delta(run.run_id)] * (number % 3)), self.name("t0/c")
        if number % 4 == 0:
            batch.started = [member_of(run, self.name("m"), path)]
        elif number % 4 == 1:
            batch.steps, batch.consumed = [step(run, path)], self.now.decided(run.run_id)
        elif number % 4 == 2:
            batch.opened = [asks(run, path)]
        first = self.write(lambda tx: attempt_writes.append(tx, lease_of(run), batch))
        assert first == run.next_event

    def end_member(self, run: RunRow, number: int) -> None:
        for member in self.now.members.values():
            if member.root_id == run.run_id and not member.state.is_final:
                ended = replace(member, state=RunState.COMPLETED, ended_at=self.records.now)
                batch = Batch(ended=[MemberRecord(run=ended, output=Output(content="done"))])
                self.write(lambda tx, batch=batch: attempt_writes.append(tx, lease_of(run), batch))  # type: ignore[misc]

    def settle(self, run: RunRow, number: int) -> None:
        state = (RunState.COMPLETED, RunState.ERROR, RunState.CANCELLED)[number % 3]
        batch = Batch(events=[delta(run.run_id)])
        end = End(state=state, at=self.records.now, output=Output(), messages=[])
        if run.cancel_requested_at is not None and state is not RunState.CANCELLED:
            self.refused(CancelStored, lambda tx: attempt_writes.finish(tx, lease_of(run), batch, end))
            return
        settled = self.write(lambda tx: attempt_writes.finish(tx, lease_of(run), batch, end))
        assert promoted_id(settled) == (self.now.next_in(run.session_id) if run.holder else None)

    def pause(self, run: RunRow, number: int) -> None:
        batch, how = Batch(opened=[asks(run, self.name("t0/c"))]), self.wait(run.session_id)
        if run.cancel_requested_at is not None or self.now.decided(run.run_id):
            error = DecisionStored if run.cancel_requested_at is None else CancelStored
            self.refused(error, lambda tx: pauses.pause(tx, lease_of(run), batch, how))
            return
        settled = self.write(lambda tx: pauses.pause(tx, lease_of(run), batch, how))
        is_freed = run.holder is not None and not run.hold_paused
        assert promoted_id(settled) == (self.now.next_in(run.session_id) if is_freed else None)

    def wait(self, session_id: str) -> Pause:
        at = self.records.now
        return Pause(at=at, expires_at=at + 30, output=Output(), messages=[])

    def hand_over(self, run: RunRow, number: int) -> None:
        self.lost.append(lease_of(run))
        self.write(of_run(workers.hand_over, run.run_id, run.attempt, self.records.now))

    @precondition(lambda self: self.now.roots)
    @rule(number=PICK, act=st.sampled_from(["decide", "decide", "decide", "cancel"]))
    def say(self, number: int, act: str) -> None:
        """A person says something."""
        pending = [row for row in self.now.tables["approvals"] if row["state"] == "pending"]
        if act == "decide":
            if pending:
                self.decide(self.pick(pending, number))
        else:
            self.cancel(self.pick(self.now.of(*LIVE) or self.now.of(*FINAL), number))

    def decide(self, approval: dict[str, Any]) -> None:
        run = self.now.roots[approval["root_id"]]
        said = [Decision(key=approval["id"], verdict=Verdict.RUN)]
        is_gone = run.session_id in self.now.buried
        if is_gone or run.state.is_final:
            self.refused(
                NotFound if is_gone else Conflict,
                of_run(decisions.decide, run.run_id, said, decisions.DecisionSource(by="me", now=self.records.now)),
            )
            return
        after = self.write(
            of_run(decisions.decide, run.run_id, said, decisions.DecisionSource(by="me", now=self.records.now))
        )
        if run.state is RunState.PAUSED:
            is_free = run.holder is not None or run.on_busy is OnBusy.PARALLEL or not self.now.holder(run.session_id)
            assert after.state is (RunState.READY if is_free else RunState.QUEUED)

    def cancel(self, run: RunRow) -> None:
        done = self.write(of_run(cancels.request, run.run_id, "me", self.records.now))
        assert done is not None
        assert done.run.state is (run.state if run.state in (*FINAL, RunState.RUNNING) else RunState.CANCELLED)

    @rule(worker=st.sampled_from(["w1", "w2", "idle", "idle"]), crashed=st.sampled_from([True, True, False]))
    def leave(self, worker: str, crashed: bool) -> None:
        """A worker dies, or stops."""
        driven = [run for run in self.now.of(RunState.RUNNING) if run.worker == worker]
        self.lost += map(lease_of, driven)
        released = self.write(lambda tx: workers.release_runs(tx, worker, self.records.now, crashed=crashed))
        run_ids = {run.run_id for run in released.ready} | {done.run.run_id for done in released.ended}
        assert run_ids == {run.run_id for run in driven}

    @rule(seconds=st.sampled_from([0.0, 5.0, 5.0, 5.0, 40.0]))
    def upkeep(self, seconds: float) -> None:
        """Time passes, and what is due is done."""
        self.records.now += seconds
        moved = self.write(lambda tx: delays.join_due(tx, self.records.now))
        assert all(run.state in (RunState.QUEUED, RunState.READY) for run in moved.joined)
        self.look()
        self.write(lambda tx: delays.expire_pending(tx, self.records.now))
        self.look()
        self.write(lambda tx: pauses.expire(tx, self.records.now))
        self.look()
        for session_id in self.now.buried:
            self.remove(session_id)

    @rule(is_sure=st.sampled_from([False, False, True]))
    def delete_session(self, is_sure: bool) -> None:
        if not is_sure:
            return
        self.write(lambda tx: sessions.mark_deleted(tx, "deleted", self.records.now))
        self.look()
        while self.write(lambda tx: session_deletion.cancel_live(tx, "deleted", self.records.now, limit=2)):
            self.look()

    def remove(self, session_id: str) -> None:
        is_gone = self.write(lambda tx: session_deletion.remove_some_of(tx, session_id))
        assert is_gone == all(run.session_id != session_id for run in self.now.of(*LIVE))
        if is_gone:
            self.now = self.stands()
            assert all(run.session_id != session_id for run in self.now.roots.values())

    @precondition(lambda self: self.lost)
    @rule(number=PICK, act=st.sampled_from(["append", "settle", "pause", "hand over"]))
    def write_late(self, number: int, act: str) -> None:
        """An attempt that lost its run goes on: nothing is stored."""
        at_work = {run.run_id for run in self.now.of(RunState.RUNNING)}
        again = [lease for lease in self.lost if lease.root_id in at_work]
        lease, at = self.pick(again or self.lost, number), self.records.now
        run = self.now.roots.get(lease.root_id)
        session_id = "gone" if run is None else run.session_id
        batch, wait = Batch(events=[delta(lease.root_id)]), self.wait(session_id)
        end = End(state=RunState.COMPLETED, at=at, output=Output(), messages=[])
        if act == "append":
            self.refused(LeaseLost, lambda tx: attempt_writes.append(tx, lease, batch))
        elif act == "settle":
            self.refused(LeaseLost, lambda tx: attempt_writes.finish(tx, lease, batch, end))
        elif act == "pause":
            self.refused(LeaseLost, lambda tx: pauses.pause(tx, lease, batch, wait))
        else:
            released = self.write(of_run(workers.hand_over, lease.root_id, lease.attempt, at))
            assert released == workers.Released()

    # --- what holds -------------------------------------------------------------------------------

    @invariant()
    def look(self) -> None:
        """Look at what stands now, and how it came from what stood before."""
        self.before, self.now = self.now, self.stands()
        for run in self.now.roots.values():
            self.check_edge(self.before.roots.get(run.run_id), run)
            check_row(run, self.now)
        for lane in SESSIONS:
            self.check_line(lane)
        self.check_below()
        self.check_events()

    def check_edge(self, before: RunRow | None, run: RunRow) -> None:
        if before is None:
            assert run.state in ACCEPTED_AS
            assert run.attempt == (run.state is RunState.RUNNING)
            return
        assert run.state is before.state or is_edge(before.state, run.state), f"{before.state} to {run.state}"
        is_claimed = before.state is RunState.READY and run.state is RunState.RUNNING
        assert run.attempt == before.attempt + is_claimed, "+1 on every claim and nowhere else"
        has_joined = before.state is RunState.SCHEDULED and run.state in (RunState.QUEUED, RunState.READY)
        assert run.seq == before.seq or before.state is RunState.SCHEDULED
        line = [other.seq or 0 for other in self.before.roots.values() if other.lane == run.lane]
        assert not has_joined or (run.seq or 0) > max(line), "it joins its line at the end"
        assert not before.state.is_final or run == before, "what has ended changes no more"
        assert run.next_event >= before.next_event

    def check_line(self, lane: str) -> None:
        runs = [run for run in self.now.roots.values() if run.lane == lane]
        assert sum(run.holder == lane for run in runs) <= 1
        assert len({run.seq for run in runs}) == len(runs)
        queued = [run for run in runs if run.state is RunState.QUEUED]
        assert not queued or any(run.holder == lane for run in runs), "the line is free, and somebody waits"
        for run in runs:
            before = self.before.roots.get(run.run_id)
            if before is not None and before.state is RunState.QUEUED and run.state is RunState.READY:
                assert all(place(run) < place(other) for other in queued), "another was before it"

    def check_below(self) -> None:
        """Members and approvals follow their root."""
        for member in self.now.members.values():
            earlier = self.before.members.get(member.run_id)
            state = RunState.RUNNING if earlier is None else earlier.state
            assert member.state is state or is_edge(state, member.state, MEMBER_EDGES), f"{state} to {member.state}"
            root = self.now.roots[member.root_id]
            if root.state.is_final:
                assert member.state.is_final
            elif root.state in (RunState.RUNNING, RunState.PAUSED) and not member.state.is_final:
                assert member.state is root.state
        for approval in self.now.tables["approvals"]:
            root = self.now.roots[approval["root_id"]]
            assert not root.state.is_final or approval["state"] in ("consumed", "closed")
            assert root.state is not RunState.PAUSED or approval["state"] != "decided", "a decision and nobody goes on"

    def check_events(self) -> None:
        end: dict[str, int] = {}
        for row in self.now.tables["events"]:
            assert row["first_index"] >= end.get(row["root_id"], 0)
            end[row["root_id"]] = row["first_index"] + row["count"]
        assert end == {run.run_id: run.next_event for run in self.now.roots.values() if run.next_event}


def check_row(run: RunRow, now: Snapshot) -> None:
    """What a row says fits its state."""
    holds = run.state in AT_WORK or (run.state is RunState.PAUSED and run.hold_paused)
    assert (run.holder == run.lane) == (holds and run.on_busy is not OnBusy.PARALLEL)
    assert (run.worker is not None) == (run.state is RunState.RUNNING) or run.state.is_final
    assert (run.ended_at is not None) == run.state.is_final
    assert (now.expires_at[run.run_id] is not None) == (run.state is RunState.PAUSED) or run.state.is_final
    assert run.cancel_requested_at is None or run.state in (RunState.RUNNING, RunState.CANCELLED)
    assert run.attempt or run.state in (*PENDING, *FINAL)


def asks(run: RunRow, path: str) -> Requirement:
    """A call that waits for a person."""
    return Requirement(
        id=f"q {run.run_id} {path}",
        kind=RequirementKind.UNKNOWN_OUTCOME,
        path=path,
        tool=ToolCall(id=f"call {run.run_id} {path}", name="pay", args={}, created_at=1.0),
        run_id=run.run_id,
        component_kind="agent",
        component_id="solo",
        component_name="Solo",
        created_at=1.0,
    )


async def clear(tx: Tx) -> None:
    """Leave no record."""
    for table in TABLES:
        await tx.run(Statement(f"test_clear {table}", f"DELETE FROM {table}"), {})  # noqa: S608 - constants


class QuickSqlite(SqliteDatabase):
    """SQLite that waits for no disk: nothing of it has to last."""

    def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        connection = super()._connect(read_only=read_only)
        connection.execute("PRAGMA synchronous = OFF")
        return connection


@pytest.mark.parametrize("kind, examples", [("sqlite", 100), ("postgres", 6)])
def test_the_rules_hold_whatever_happens(request: pytest.FixtureRequest, kind: str, examples: int) -> None:
    database: Database
    if kind == "sqlite":
        database = QuickSqlite(request.getfixturevalue("sqlite_file"))
    else:
        database = PostgresDatabase(request.getfixturevalue("postgres_url"))
    with asyncio.Runner() as runner:
        runner.run(database.open())
        records = Records(database)
        run_state_machine_as_test(
            lambda: Runs(records, runner.run),  # type: ignore[arg-type]
            settings=settings(max_examples=examples, stateful_step_count=50, suppress_health_check=list(HealthCheck)),
        )
        runner.run(database.close())
